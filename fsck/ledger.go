package fsck

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// ledger is the ledger's store while it is read, and what of it is asked for
// afterwards. The keys are those that chain/store.go describes; numbers are 8
// bytes, big-endian.
type ledger struct {
	c    *checker
	db   *database
	name string // of the folder, as in a report
	head head
	size uint64

	reg    *register
	tree   frontier
	pool   *pool
	blocks *blocks // nil where CometBFT has none

	entries *cursor
	nodes   [64]*cursor
	own     map[string]*cursor // batch numbers of a node
	sizes   *cursor            // z
	seals   *sealReader
	newest  map[string]newestSeal
	open    []*cursor // to be closed
}

// head is the record of the newest height.
type head struct {
	height, time, size, registry uint64
	appHash                      []byte
}

func be8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (l *ledger) close() {
	for _, c := range l.open {
		c.close()
	}
	if l.blocks != nil {
		l.blocks.close()
	}
	if l.db != nil {
		l.db.close()
	}
}

func (l *ledger) cursor(prefix ...byte) *cursor {
	c := l.db.under(prefix)
	l.open = append(l.open, c)
	return c
}

func (l *ledger) wrong(code Code, format string, args ...any) *Problem {
	return wrong(code, l.name, format, args...)
}

// checkChain reads the ledger beside the blocks, and then what hangs on both.
func (c *checker) checkChain() (l *ledger, err error) {
	dir := c.data("chain", "ledger")
	_, errL := os.Stat(dir)
	_, errC := os.Stat(c.data("chain", "comet", "data"))
	if os.IsNotExist(errL) && os.IsNotExist(errC) {
		if _, err := os.Lstat(c.data("archive", "RESTORED")); err == nil {
			return nil, nil // the archive says so
		}
		if _, err := os.Stat(c.data("archive")); err == nil {
			return nil, wrong(CodeMissing, c.rel(dir), "there is an archive and no ledger")
		}
		c.note(NoteEmpty, c.rel(dir), "this home has joined, and its node has not run yet")
		return nil, nil
	}
	if os.IsNotExist(errL) {
		return nil, wrong(CodeMissing, c.rel(dir), "there are blocks and no ledger")
	}
	db, err := c.openDB(dir, false)
	if err != nil {
		return nil, err
	}
	l = &ledger{c: c, db: db, name: c.rel(dir), reg: newRegister(c.cons), own: map[string]*cursor{}, newest: map[string]newestSeal{},
		pool: newPool(c.ctx, c.opt.Workers)}
	c.book = l
	return l, l.pool.end(l.read())
}

// read goes through the store. Jobs that need no order (signatures, commits) are
// done by the pool.
func (l *ledger) read() (err error) {
	defer caught(&err, CodeStore, l.name)
	if err := l.readHead(); err != nil {
		return err
	}
	if l.blocks, err = l.c.openBlocks(l); err != nil {
		return err
	}
	l.start()
	appHash, err := l.genesis()
	if err != nil {
		return err
	}
	if appHash, err = l.walk(appHash); err != nil {
		return err
	}
	if err := l.finish(appHash); err != nil {
		return err
	}
	if err := l.pool.end(nil); err != nil { // the seals and blocks are good before the rest is judged by them
		return err
	}
	if err := l.blocks.rest(l); err != nil {
		return err
	}
	return l.c.unlessRestored(l.c.checkGuard(l))
}

func (l *ledger) readHead() error {
	version, err := l.db.get([]byte{'v'})
	if err != nil {
		return err
	}
	if want := "qifeng-ledger/1\n" + l.c.cons.chain; string(version) != want {
		return l.wrong(CodeRegister, "the store is %q, this home needs %q", version, want)
	}
	b, err := l.db.get([]byte{'h'})
	if err != nil {
		return err
	}
	if len(b) != 96 {
		return l.wrong(CodeRegister, "the head has %d bytes", len(b))
	}
	n := binary.BigEndian.Uint64
	l.head = head{n(b), n(b[8:]), n(b[16:]), n(b[24:]), bytes.Clone(b[32:])}
	l.size = l.head.size
	l.c.report.Counts.Size, l.c.report.Counts.Height = l.head.size, l.head.height
	return nil
}

// start opens the runs that go side by side.
func (l *ledger) start() {
	l.entries, l.sizes = l.cursor('e'), l.cursor('z')
	l.seals = newSealReader(l)
	for _, id := range l.c.cons.ids {
		l.own[id] = l.db.under([]byte("b" + id + "\x00"))
		l.open = append(l.open, l.own[id])
	}
}

// nextEntry reads entry index.
func (l *ledger) nextEntry(index uint64) ([]byte, error) {
	ok, err := l.entries.next()
	if err != nil {
		return nil, err
	}
	if want := append([]byte{'e'}, be8(index)...); !ok || !bytes.Equal(l.entries.key(), want) {
		return nil, l.wrong(CodeEntry, "the entry is missing; the head says that there are %d", l.size).at("index", index)
	}
	return bytes.Clone(l.entries.value()), nil
}

// grow puts an entry into the tree and compares the stored nodes.
func (l *ledger) grow(raw []byte) error {
	return l.tree.add(merkle.LeafHash(raw), func(level uint8, index uint64, d merkle.Digest) error {
		if l.nodes[level] == nil {
			l.nodes[level] = l.cursor('t', level)
		}
		cur := l.nodes[level]
		ok, err := cur.next()
		if err != nil {
			return err
		}
		if want := append([]byte{'t', level}, be8(index)...); !ok || !bytes.Equal(cur.key(), want) {
			return l.wrong(CodeNode, "node %d of level %d is missing", index, level).at("index", index<<level)
		}
		if !bytes.Equal(cur.value(), plain(d)) {
			return l.wrong(CodeNode, "node %d of level %d is %x, the entries give %x", index, level, cur.value(), plain(d)).at("index", index<<level)
		}
		return nil
	})
}

func (l *ledger) genesis() (appHash []byte, err error) {
	raw, err := l.nextEntry(0)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(raw, l.c.cons.raw) {
		return nil, l.wrong(CodeEntry, "entry 0 is another genesis than %s", l.c.rel(l.c.home.Genesis)).at("index", 0)
	}
	if err := l.grow(raw); err != nil {
		return nil, err
	}
	l.c.report.Counts.Entries = 1
	return l.reg.end(1, l.tree.root()), l.pinned()
}

// walk goes from height to height, as far as heights changed the size, and hands
// each to the blocks. It returns the AppHash after the last one.
func (l *ledger) walk(appHash []byte) ([]byte, error) {
	height := uint64(0)
	for {
		ok, err := l.sizes.next()
		if err != nil || !ok {
			return appHash, err
		}
		k, v := l.sizes.key(), l.sizes.value()
		if len(k) != 9 || len(v) != 16 {
			return nil, l.wrong(CodeRegister, "a record of a size is %x: %x", k, v)
		}
		size, at := binary.BigEndian.Uint64(k[1:]), binary.BigEndian.Uint64(v)
		switch {
		case height == 0 && at != 1:
			return nil, l.wrong(CodeRegister, "the first size is of height %d", at).at("size", size)
		case height > 0 && (at <= height || size <= l.tree.size):
			return nil, l.wrong(CodeRegister, "size %d is of height %d, after size %d of height %d", size, at, l.tree.size, height).at("size", size)
		case size > l.size || at > l.head.height:
			return nil, l.wrong(CodeRegister, "size %d of height %d is beyond the head (size %d, height %d)", size, at, l.size, l.head.height).at("size", size)
		}
		if ok, err := l.blocks.quiet(height+1, at, appHash); !ok || err != nil {
			return nil, err
		}
		added, err := l.height(size)
		if err != nil {
			return nil, err
		}
		before := appHash
		appHash = l.reg.end(size, l.tree.root())
		if !l.blocks.check(at, before, added) {
			return appHash, nil // a job failed
		}
		if err := l.seals.size(size, l.tree.root()); err != nil {
			return nil, err
		}
		height = at
		l.c.progress(PhaseLedger, int64(at), int64(l.head.height))
	}
}

// height reads the entries up to a size.
func (l *ledger) height(size uint64) (added [][]byte, err error) {
	l.reg.begin(l.tree.size)
	for l.tree.size < size {
		if l.pool.stopped() {
			return nil, l.c.ctx.Err()
		}
		index := l.tree.size
		raw, err := l.nextEntry(index)
		if err != nil {
			return nil, err
		}
		if err := l.entry(index, raw); err != nil {
			return nil, err
		}
		if err := l.pinned(); err != nil {
			return nil, err
		}
		added = append(added, raw)
	}
	return added, nil
}

func (l *ledger) entry(index uint64, raw []byte) error {
	signed, key, batch, err := l.reg.take(index, raw)
	if err != nil {
		return l.wrong(CodeEntry, "%v", err).at("index", index)
	}
	l.pool.do(func() error {
		if err := signed.Verify(l.c.cons.chain, key); err != nil {
			return l.wrong(CodeEntry, "%v", err).at("index", index)
		}
		return nil
	})
	if batch != nil {
		if err := l.listed(index, batch); err != nil {
			return err
		}
	}
	l.c.report.Counts.Entries++
	return l.grow(raw)
}

// listed compares the record by which a batch is found.
func (l *ledger) listed(index uint64, b *evidence.Batch) error {
	cur := l.own[b.Node]
	ok, err := cur.next()
	if err != nil {
		return err
	}
	if !ok || !bytes.Equal(cur.key(), batchKey(b.Node, b.Seq)) || !bytes.Equal(cur.value(), be8(index)) {
		return l.wrong(CodeRegister, "batch %d of %s is not found where it stands", b.Seq, b.Node).at("index", index)
	}
	return nil
}

func batchKey(node string, seq uint64) []byte {
	return append([]byte("b"+node+"\x00"), be8(seq)...)
}

// pinned holds the present root against the policy's pins.
func (l *ledger) pinned() error {
	if pin, ok := l.c.cons.pins[l.tree.size]; ok && pin != l.tree.root() {
		return wrong(CodePin, l.c.rel(l.c.home.Policy), "the policy pins %s, the ledger gives %s", pin, l.tree.root()).at("size", l.tree.size)
	}
	return nil
}

// finish compares what the store keeps besides with what follows from the entries.
func (l *ledger) finish(appHash []byte) error {
	if l.pool.stopped() {
		return nil
	}
	if l.tree.size != l.size {
		return l.wrong(CodeRegister, "the sizes end at %d, the head says %d", l.tree.size, l.size).at("size", l.tree.size)
	}
	if ok, err := l.blocks.quiet(l.heightOf(), l.head.height+1, appHash); !ok || err != nil {
		return err
	}
	if !bytes.Equal(appHash, l.head.appHash) {
		return l.wrong(CodeAppHash, "the entries give AppHash %X, the head says %X", appHash, l.head.appHash).at("height", l.head.height)
	}
	if l.head.registry != l.reg.lastSize {
		return l.wrong(CodeRegister, "the head says that the register last changed at size %d, it was %d", l.head.registry, l.reg.lastSize)
	}
	if err := l.left(); err != nil {
		return err
	}
	if err := l.checkKeys(); err != nil {
		return err
	}
	if err := l.checkCursors(); err != nil {
		return err
	}
	return l.seals.finish()
}

// heightOf is the height after the last one that changed the size.
func (l *ledger) heightOf() uint64 { return l.blocks.seen + 1 }

// left looks for what the runs have not come upon: more entries, nodes, batches,
// and keys of no kind.
func (l *ledger) left() error {
	runs := []*cursor{l.entries}
	for _, c := range l.nodes {
		if c != nil {
			runs = append(runs, c)
		}
	}
	for _, c := range l.own {
		runs = append(runs, c)
	}
	for _, c := range runs {
		if ok, err := c.next(); err != nil || ok {
			return orExtra(err, l, c)
		}
	}
	all := l.cursor()
	// One step for each kind of key, level and node: what lies between is extra.
	allowed := [][]byte{{'e'}, {'z'}, {'u'}, {'q'}, {'s'}, {'n'}, {'x'}, {'k'}, {'c'}, {'h'}, {'v'}}
	for level, c := range l.nodes {
		if c != nil {
			allowed = append(allowed, []byte{'t', byte(level)})
		}
	}
	for _, id := range l.c.cons.ids {
		allowed = append(allowed, []byte("b"+id+"\x00"))
	}
	for ok := all.it.First(); ok; {
		i := slices.IndexFunc(allowed, func(p []byte) bool { return bytes.HasPrefix(all.key(), p) })
		if i < 0 || len(allowed[i]) == 1 && (allowed[i][0] == 'h' || allowed[i][0] == 'v') && len(all.key()) > 1 {
			return orExtra(nil, l, all)
		}
		past := slices.Clone(allowed[i])
		past[len(past)-1]++ // no prefix ends in ff
		ok = all.it.Seek(past)
	}
	return l.db.failed(all.it.Error())
}

func orExtra(err error, l *ledger, c *cursor) error {
	if err != nil {
		return err
	}
	return l.wrong(CodeRegister, "the store has a key that follows from nothing: %q", c.key())
}

// checkKeys compares the stored register of keys.
func (l *ledger) checkKeys() error {
	cur := l.cursor('k')
	for _, id := range slices.Sorted(maps.Keys(l.reg.keys)) {
		for _, name := range slices.Sorted(maps.Keys(l.reg.keys[id])) {
			k := l.reg.keys[id][name]
			flag := byte(0)
			if k.revoked {
				flag = 1
			}
			want := append(append(be8(k.index), flag), be8(k.until)...)
			want = fmt.Appendf(want, "%s\x00%s", k.purpose, k.public)
			ok, err := cur.next()
			if err != nil {
				return err
			}
			if !ok || string(cur.key()) != "k"+id+"\x00"+name || !bytes.Equal(cur.value(), want) {
				return l.wrong(CodeRegister, "key %s of %s is not stored as the entries say", name, id).at("index", k.index)
			}
		}
	}
	if ok, err := cur.next(); err != nil || ok {
		return orExtra(err, l, cur)
	}
	return nil
}

func (l *ledger) checkCursors() error {
	cur := l.cursor('c')
	for _, id := range l.c.cons.ids {
		state, has := l.reg.cursors[id]
		if !has {
			continue
		}
		ok, err := cur.next()
		if err != nil {
			return err
		}
		if want := append(be8(state.seq), be8(uint64(state.last.UnixMilli()))...); !ok || string(cur.key()) != "c"+id || !bytes.Equal(cur.value(), want) {
			return l.wrong(CodeRegister, "how far the batches of %s have come is not stored as the entries say", id)
		}
	}
	if ok, err := cur.next(); err != nil || ok {
		return orExtra(err, l, cur)
	}
	return nil
}

// Node implements merkle.NodeReader on the stored nodes, all of which have been
// compared.
func (l *ledger) Node(level uint8, index uint64) (merkle.Digest, error) {
	v, err := l.db.get(append([]byte{'t', level}, be8(index)...))
	if err != nil {
		return merkle.Digest{}, err
	}
	return unplain(v)
}

// rootAt is the root of the first size entries.
func (l *ledger) rootAt(size uint64) (merkle.Digest, error) { return merkle.RootAt(size, l) }

// header is the entry of a batch, nil where the ledger has none.
func (l *ledger) header(node string, seq uint64) (raw []byte, index uint64, err error) {
	v, err := l.db.get(batchKey(node, seq))
	if err != nil || len(v) != 8 {
		return nil, 0, err
	}
	index = binary.BigEndian.Uint64(v)
	raw, err = l.db.get(append([]byte{'e'}, v...))
	return raw, index, err
}
