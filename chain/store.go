package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"

	"qifeng/evidence"
	"qifeng/internal/durable"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// formatVersion is the version of the store's layout. A store of another
// version is refused, never guessed at.
const formatVersion = "qifeng-ledger/1"

// Keys of the store. Numbers are 8 bytes, big endian.
//
//	v                          format version, LF, chain id
//	h                          head: height ‖ block time (ns) ‖ size ‖ registry size ‖ AppHash (64)
//	e <index>                  ledger entry
//	t <level 1> <index>        complete tree node: digest pair (64)
//	b <node> 0 <seq>           ledger index of a batch
//	c <node>                   cursor: seq ‖ last received (Unix ms)
//	k <member> 0 <name>        key: index ‖ revoked flag (1) ‖ revoked index ‖ purpose 0 public key
//	z <size>                   a size that a height ended with: height ‖ block time (ns)
//	u <size>                   the same, while it is not sealed
//	q <size>                   the same, since it is sealed
//	s <size> <member>          first seal (seals.go)
//	n <member>                 newest seal: size ‖ seal
//	x <size> len <member> <digest 8>  a seal on another root than this ledger has: evidence of a lie
const (
	kVersion  = 'v'
	kHead     = 'h'
	kEntry    = 'e'
	kNode     = 't'
	kBatch    = 'b'
	kCursor   = 'c'
	kKey      = 'k'
	kSize     = 'z'
	kUnsealed = 'u'
	kSealed   = 'q'
	kSeal     = 's'
	kNewest   = 'n'
	kConflict = 'x'
)

// store keeps ledger, registry and seals in one goleveldb.
//
// Commit order of a height:
//
//  1. CometBFT has the block on disk, and its write-ahead log knows that the
//     height ended.
//  2. FinalizeBlock executes it in memory and writes nothing.
//  3. Commit writes entries, tree nodes, indexes, cursors, keys, the size and
//     the head in one batch with fsync. A crash before leaves the height
//     before; a crash after leaves this one; nothing lies between.
//  4. The state in memory is exchanged, readers are woken, the sealer is told.
//  5. CometBFT saves its own state.
//
// A crash between 1 and 5 is mended by CometBFT's handshake, which compares
// Info with its block store and executes the missing heights again, by the same
// code. Seals are written by the sealer alone, whenever they arrive; they are
// derived from nothing here and nothing here is derived from them, so they may
// be written between two heights at any time.
type store struct {
	db   *leveldb.DB
	stor storage.Storage // of db
	c    *consortium
}

var errNotFound = errors.New("not found")

// openStore opens or creates the store of a chain and returns the committed
// state.
func openStore(dir string, c *consortium) (*store, *state, error) {
	if err := durable.RemoveUnborn(dir); err != nil {
		return nil, nil, err
	}
	stor, err := storage.OpenFile(dir, false)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the ledger store %s: %w", dir, err)
	}
	s, st, err := openStoreOn(stor, c)
	if err != nil {
		return nil, nil, fmt.Errorf("the ledger store %s: %w", dir, err)
	}
	return s, st, nil
}

// openStoreOn closes what it is given where it fails.
func openStoreOn(stor storage.Storage, c *consortium) (*store, *state, error) {
	// Not opt.StrictJournal: after a power failure the journal may end in a
	// write that was not fsynced, and is then cut there. loadState finds what
	// should not be cut.
	db, err := leveldb.Open(stor, &opt.Options{Strict: opt.DefaultStrict})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening it: %w", err), stor.Close())
	}
	s := &store{db: db, stor: stor, c: c}
	st, err := s.load()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("reading it: %w", err), s.close())
	}
	return s, st, nil
}

func (s *store) close() error { return errors.Join(s.db.Close(), s.stor.Close()) }

// load reads the committed state; an empty store gets the genesis first.
func (s *store) load() (*state, error) {
	want := formatVersion + "\n" + s.c.chainID
	version, err := s.get([]byte{kVersion})
	if errors.Is(err, errNotFound) {
		if err := point(pointCreated); err != nil {
			return nil, err
		}
		if err := s.begin(want); err != nil {
			return nil, err
		}
		if err := point(pointBegun); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	} else if string(version) != want {
		return nil, fmt.Errorf("the store is %q, this node needs %q", version, want)
	}
	entry, err := s.entry(0)
	if err != nil {
		return nil, err
	}
	if string(entry) != string(s.c.raw) {
		return nil, fmt.Errorf("entry 0 is another genesis than the one configured")
	}
	return s.loadState()
}

// begin writes entry 0, once and durably, before anything else can be written.
func (s *store) begin(version string) error {
	it := s.db.NewIterator(nil, nil)
	empty := !it.Next()
	it.Release()
	if err := it.Error(); err != nil {
		return err
	}
	if !empty {
		return errors.New("the store is not empty and has no format version")
	}
	g := genesisState(s.c)
	b := new(leveldb.Batch)
	b.Put([]byte{kVersion}, []byte(version))
	b.Put(entryKey(0), s.c.raw)
	leaf := pair(g.root)
	b.Put(nodeKey(0, 0), leaf[:])
	b.Put([]byte{kHead}, encodeHead(g))
	return s.db.Write(b, &opt.WriteOptions{Sync: true})
}

func (s *store) loadState() (*state, error) {
	raw, err := s.get([]byte{kHead})
	if err != nil {
		return nil, fmt.Errorf("reading the head: %w", err)
	}
	st, err := decodeHead(raw)
	if err != nil {
		return nil, err
	}
	g := genesisState(s.c)
	st.cursors, st.keys, st.keySums = g.cursors, g.keys, g.keySums
	if st.root, err = merkle.RootAt(st.size, s); err != nil {
		return nil, fmt.Errorf("computing the root of size %d: %w", st.size, err)
	}
	if err := s.loadCursors(st); err != nil {
		return nil, err
	}
	if err := s.loadKeys(st); err != nil {
		return nil, err
	}
	if got := appHash(s.c, st); got != st.appHash {
		return nil, fmt.Errorf("the store is damaged: its contents give AppHash %x, its head says %x", got, st.appHash)
	}
	return st, nil
}

// commit makes one height durable: one batch, one fsync.
func (s *store) commit(blk *block, sizeChanged bool) error {
	b := new(leveldb.Batch)
	for i, e := range blk.entries {
		b.Put(entryKey(blk.first+uint64(i)), e)
	}
	for _, n := range blk.nodes {
		d := pair(n.Digest)
		b.Put(nodeKey(n.Level, n.Index), d[:])
	}
	for _, r := range blk.batches {
		b.Put(batchKey(r.node, r.seq), be8(r.index))
	}
	for _, id := range blk.touched {
		cur := blk.next.cursors[id]
		b.Put(cursorKey(id), append(be8(cur.seq), be8(uint64(cur.last.UnixMilli()))...))
	}
	for _, k := range blk.changed {
		b.Put(keyKey(k.Member, k.Name), encodeKey(k))
	}
	if sizeChanged {
		b.Put(sizeKey(kSize, blk.next.size), append(be8(uint64(blk.next.height)), be8(uint64(blk.next.blockTime.UnixNano()))...))
		b.Put(sizeKey(kUnsealed, blk.next.size), nil)
	}
	b.Put([]byte{kHead}, encodeHead(blk.next))
	err := point(pointExecuted)
	if err == nil {
		err = s.db.Write(b, &opt.WriteOptions{Sync: true})
	}
	if err == nil {
		err = point(pointCommitted)
	}
	if err != nil {
		return fmt.Errorf("writing height %d: %w", blk.next.height, err)
	}
	return nil
}

func (s *store) get(key []byte) ([]byte, error) {
	v, err := s.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, errNotFound
	}
	return v, err
}

func (s *store) entry(index uint64) ([]byte, error) {
	v, err := s.get(entryKey(index))
	if err != nil {
		return nil, fmt.Errorf("reading ledger entry %d: %w", index, err)
	}
	return v, nil
}

// rootAt computes the root of a size.
func (s *store) rootAt(size uint64) (merkle.Digest, error) { return merkle.RootAt(size, s) }

// Node implements merkle.NodeReader.
func (s *store) Node(level uint8, index uint64) (merkle.Digest, error) {
	v, err := s.get(nodeKey(level, index))
	if err != nil {
		return merkle.Digest{}, fmt.Errorf("reading tree node %d/%d: %w", level, index, err)
	}
	return unpair(v)
}

// batch returns the ledger index of a batch.
func (s *store) batch(node string, seq uint64) (uint64, bool, error) {
	v, err := s.get(batchKey(node, seq))
	if errors.Is(err, errNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("looking up batch %d of %s: %w", seq, node, err)
	}
	if len(v) != 8 {
		return 0, false, fmt.Errorf("batch index of %s %d has %d bytes", node, seq, len(v))
	}
	return binary.BigEndian.Uint64(v), true, nil
}

// finalized says whether a height ended with this size, and when.
func (s *store) finalized(size uint64) (height int64, at time.Time, ok bool, err error) {
	v, err := s.get(sizeKey(kSize, size))
	if errors.Is(err, errNotFound) {
		return 0, time.Time{}, false, nil
	}
	if err != nil {
		return 0, time.Time{}, false, err
	}
	if len(v) != 16 {
		return 0, time.Time{}, false, fmt.Errorf("size record %d has %d bytes", size, len(v))
	}
	return int64(binary.BigEndian.Uint64(v)), time.Unix(0, int64(binary.BigEndian.Uint64(v[8:]))).UTC(), true, nil
}

// seek returns the first size >= from under a one-letter index of sizes.
func (s *store) seek(kind byte, from uint64) (uint64, bool, error) {
	it := s.db.NewIterator(util.BytesPrefix([]byte{kind}), nil)
	defer it.Release()
	if !it.Seek(sizeKey(kind, from)) {
		return 0, false, it.Error()
	}
	return binary.BigEndian.Uint64(it.Key()[1:]), true, it.Error()
}

// last returns the largest size under an index of sizes.
func (s *store) last(kind byte) (uint64, bool, error) {
	it := s.db.NewIterator(util.BytesPrefix([]byte{kind}), nil)
	defer it.Release()
	if !it.Last() {
		return 0, false, it.Error()
	}
	return binary.BigEndian.Uint64(it.Key()[1:]), true, it.Error()
}

func (s *store) loadCursors(st *state) error {
	it := s.db.NewIterator(util.BytesPrefix([]byte{kCursor}), nil)
	defer it.Release()
	for it.Next() {
		v := it.Value()
		if len(v) != 16 {
			return fmt.Errorf("cursor of %s has %d bytes", it.Key()[1:], len(v))
		}
		st.cursors[string(it.Key()[1:])] = cursor{seq: binary.BigEndian.Uint64(v),
			last: time.UnixMilli(int64(binary.BigEndian.Uint64(v[8:]))).UTC()}
	}
	return it.Error()
}

func (s *store) loadKeys(st *state) error {
	it := s.db.NewIterator(util.BytesPrefix([]byte{kKey}), nil)
	defer it.Release()
	for it.Next() {
		k, err := decodeKey(it.Key()[1:], it.Value())
		if err != nil {
			return err
		}
		if st.keys[k.Member] == nil {
			st.keys[k.Member] = map[string]Key{}
		}
		st.keys[k.Member][k.Name] = k
	}
	for id, keys := range st.keys {
		st.keySums[id] = keysDigest(keys)
	}
	return it.Error()
}

func entryKey(index uint64) []byte             { return append([]byte{kEntry}, be8(index)...) }
func nodeKey(level uint8, index uint64) []byte { return append([]byte{kNode, level}, be8(index)...) }
func cursorKey(node string) []byte             { return append([]byte{kCursor}, node...) }
func sizeKey(kind byte, size uint64) []byte    { return append([]byte{kind}, be8(size)...) }
func keyKey(member, name string) []byte        { return []byte(string(rune(kKey)) + member + "\x00" + name) }

func batchKey(node string, seq uint64) []byte {
	return append([]byte(string(rune(kBatch))+node+"\x00"), be8(seq)...)
}

func encodeHead(st *state) []byte {
	b := be8(uint64(st.height))
	b = append(b, be8(uint64(st.blockTime.UnixNano()))...)
	b = append(b, be8(st.size)...)
	b = append(b, be8(st.registrySize)...)
	return append(b, st.appHash[:]...)
}

func decodeHead(b []byte) (*state, error) {
	if len(b) != 96 {
		return nil, fmt.Errorf("the head has %d bytes, want 96", len(b))
	}
	return &state{
		height:       int64(binary.BigEndian.Uint64(b)),
		blockTime:    time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))).UTC(),
		size:         binary.BigEndian.Uint64(b[16:]),
		registrySize: binary.BigEndian.Uint64(b[24:]),
		appHash:      [64]byte(b[32:]),
	}, nil
}

func encodeKey(k Key) []byte {
	b := be8(k.Index)
	var revoked uint64
	flag := byte(0)
	if k.RevokedAt != nil {
		flag, revoked = 1, *k.RevokedAt
	}
	b = append(append(b, flag), be8(revoked)...)
	return append(b, string(k.Purpose)+"\x00"+k.PublicKey.String()...)
}

func decodeKey(name, v []byte) (Key, error) {
	var k Key
	member, rest, ok := cut0(name)
	if !ok || len(v) < 17 {
		return k, fmt.Errorf("key record %q is damaged", name)
	}
	purpose, text, ok := cut0(v[17:])
	if !ok {
		return k, fmt.Errorf("key record %q is damaged", name)
	}
	pub, err := gm.ParsePublicKey(text)
	if err != nil {
		return k, fmt.Errorf("key record %q: %w", name, err)
	}
	k = Key{Member: member, Name: rest, PublicKey: pub, Purpose: evidence.Purpose(purpose), Index: binary.BigEndian.Uint64(v)}
	if v[8] == 1 {
		at := binary.BigEndian.Uint64(v[9:])
		k.RevokedAt = &at
	}
	return k, nil
}

func cut0(b []byte) (string, string, bool) {
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), string(b[i+1:]), true
		}
	}
	return "", "", false
}
