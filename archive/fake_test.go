package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

const (
	testNode  = "vendor-a"
	testChain = "test-0123abcd"
	testKey   = "main"
)

// fakeChain is a chain of one file: what it took is appended, so that it
// survives the kill tests. Faults are what a real chain does to a node.
type fakeChain struct {
	mu       sync.Mutex
	file     *os.File // nil: in memory only
	entries  [][]byte
	parsed   map[string]*evidence.Batch // of entries
	registry uint64
	changed  chan struct{}
	held     [][]byte // taken by the mempool, not in a block yet

	hold     bool         // keep what is submitted until release
	loseAcks int          // this many submissions are taken, and answered with an error
	refuse   int          // this many are answered with an error and forgotten
	forget   int          // this many are answered with nil and forgotten
	submits  int          // calls of Submit
	seen     [][]byte     // all that was ever submitted
	double   func([]byte) // called with each submission, for counting in flight
}

func newChain() *fakeChain { return &fakeChain{registry: 3, changed: make(chan struct{})} }

// openChain reads a chain from a file.
func openChain(t testing.TB, path string) *fakeChain {
	c := newChain()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for len(b) > 0 {
		var n int
		var entry []byte
		if _, err := fmt.Sscanf(string(b[:9]), "%08x\n", &n); err != nil || len(b) < 9+n {
			break // the process was killed while it wrote: not agreed on
		}
		entry, b = b[9:9+n], b[9+n:]
		c.entries = append(c.entries, entry)
	}
	if c.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, e := range c.entries {
		size += int64(len(e)) + 9
	}
	if err := errors.Join(c.file.Truncate(size), func() error { _, err := c.file.Seek(size, 0); return err }()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.file.Close() })
	return c
}

var errFakeMempool = errors.New("fake: the mempool says no")

func (c *fakeChain) Submit(_ context.Context, tx []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.submits++
	c.seen = append(c.seen, tx)
	if c.double != nil {
		c.double(tx)
	}
	switch {
	case c.refuse > 0:
		c.refuse--
		return errFakeMempool
	case c.forget > 0:
		c.forget--
		return nil
	}
	if c.hold {
		c.held = append(c.held, tx)
	} else {
		c.take(tx)
	}
	if c.loseAcks > 0 {
		c.loseAcks--
		return errFakeMempool
	}
	return nil
}

// take is a block: what the design says FinalizeBlock accepts.
func (c *fakeChain) take(tx []byte) {
	b, err := evidence.ParseBatch(tx)
	if err != nil {
		return
	}
	if seq, last := c.last(b.Node); b.Seq <= seq || b.FirstReceivedAt.Before(last) {
		return
	}
	c.append(tx)
}

func (c *fakeChain) append(tx []byte) {
	if c.file != nil {
		if _, err := fmt.Fprintf(c.file, "%08x\n%s", len(tx), tx); err != nil {
			panic(err)
		}
	}
	c.entries = append(c.entries, tx)
	c.change()
}

func (c *fakeChain) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// release makes a block of what is held.
func (c *fakeChain) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tx := range c.held {
		c.take(tx)
	}
	c.held = nil
}

func (c *fakeChain) set(f func(*fakeChain)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

// register is a change of the registry.
func (c *fakeChain) register() {
	c.set(func(c *fakeChain) { c.registry++; c.change() })
}

// header parses an entry once.
func (c *fakeChain) header(entry []byte) *evidence.Batch {
	if b, ok := c.parsed[string(entry)]; ok {
		return b
	}
	b, err := evidence.ParseBatch(entry)
	if err != nil {
		b = &evidence.Batch{}
	}
	if c.parsed == nil {
		c.parsed = make(map[string]*evidence.Batch)
	}
	c.parsed[string(entry)] = b
	return b
}

func (c *fakeChain) last(node string) (seq uint64, last time.Time) {
	for _, e := range slices.Backward(c.entries) {
		if b := c.header(e); b.Node == node {
			return b.Seq, b.LastReceivedAt
		}
	}
	return seq, last
}

func (c *fakeChain) Batch(node string, seq uint64) (uint64, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.entries {
		if b := c.header(e); b.Node == node && b.Seq == seq {
			return uint64(i), true, nil
		}
	}
	return 0, false, nil
}

func (c *fakeChain) Entry(i uint64) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[i], nil
}

func (c *fakeChain) LastSeq(node string) (uint64, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seq, last := c.last(node)
	return seq, last, nil
}

func (c *fakeChain) RegistrySize() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.registry
}

func (c *fakeChain) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// fakeKeys is a register of one key.
type fakeKeys struct {
	mu  sync.Mutex
	key gm.PublicKey
	err error
}

func (k *fakeKeys) SubmitKey(member, name string) (gm.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if member != testNode || name != testKey {
		return gm.PublicKey{}, ErrUnknownKey
	}
	return k.key, k.err
}

func (k *fakeKeys) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

// clock is a wall clock that a test sets.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// world is an archive with everything around it.
type world struct {
	t      testing.TB
	dir    string
	chain  *fakeChain
	keys   *fakeKeys
	clock  *clock
	user   gm.Signer
	intake gm.Signer
	cfg    Config
	a      *Archive
}

func newSigner(t testing.TB) gm.Signer {
	k, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), chain: newChain(), clock: &clock{},
		user: newSigner(t), intake: newSigner(t)}
	w.keys = &fakeKeys{key: w.user.Public()}
	w.cfg = Config{Dir: w.dir, Node: testNode, ChainID: testChain, Intake: w.intake, Chain: w.chain, Keys: w.keys, Now: w.clock.now}
	if os.Getenv("ARCHIVE_LOG") != "" {
		w.cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w.cfg.Limits = Limits{ResendFirst: 20 * time.Millisecond, ResendMax: 50 * time.Millisecond,
		RetryFirst: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond, FreeBytes: 1}
	for _, f := range change {
		f(&w.cfg)
	}
	t.Cleanup(func() {
		if w.a != nil {
			w.a.Close()
		}
	})
	return w
}

func (w *world) open() *Archive {
	w.t.Helper()
	a, err := Open(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.a = a
	return a
}

func (w *world) close() {
	w.t.Helper()
	if err := w.a.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.a = nil
}

func (w *world) reopen() *Archive {
	w.t.Helper()
	w.close()
	return w.open()
}

// submission makes one of a kind, with a content digest drawn at random.
func submission(kind evidence.Kind) *evidence.Submission {
	content := make([]byte, 16)
	if _, err := rand.Read(content); err != nil {
		panic(err)
	}
	d := merkle.Sum(content)
	s := &evidence.Submission{CapturedAt: time.Now(), Key: testKey, Kind: kind, Submitter: testNode,
		Source: evidence.Source{Environment: "test", Mechanism: "automatic", System: "vendor_platform"}}
	copy(s.Nonce[:], content)
	switch kind.Stream() {
	case evidence.Contract:
		s.Digest = &d
	case evidence.Identity:
		s.Claims, s.Method, s.Result = &d, kind.Methods()[0], "passed"
	case evidence.Signing:
		s.Claims, s.Method, s.Result = &d, kind.Methods()[0], "passed"
	}
	return s
}

var kindsInTurn = []evidence.Kind{evidence.ContractFinal, evidence.IdentityPerson, evidence.SigningIntent}

func submissions(n int) (out []*evidence.Submission) {
	for i := range n {
		out = append(out, submission(kindsInTurn[i%3]))
	}
	return out
}

func (w *world) request(subs ...*evidence.Submission) *evidence.Request {
	w.t.Helper()
	r, err := evidence.NewRequest(testChain, subs, w.clock.now(), w.user)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) submit(subs ...*evidence.Submission) []Stored {
	w.t.Helper()
	out, err := stored(w.a.Submit(w.t.Context(), w.request(subs...)))
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// until polls a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come about: %s", what)
		}
	}
}

// settled waits until the chain has all that was stored.
func (w *world) settled() {
	w.t.Helper()
	until(w.t, "the chain has every batch", func() bool {
		s := w.a.Status()
		return s.Open.Records == 0 && s.Queued.Batches == 0
	})
}

// ahead waits until the maker has a group for the writer, which is held up, and
// so many records are pending.
func (w *world) ahead(pending int64) {
	w.t.Helper()
	until(w.t, "a group is made ahead", func() bool { return w.a.pendingRecords.Load() == pending && len(w.a.work) == 0 })
}

// checkReceipt verifies everything that a receipt promises at intake.
func (w *world) checkReceipt(s Stored) *evidence.ReceiptHead {
	w.t.Helper()
	rec, err := evidence.ParseRecord(s.Record)
	if err != nil {
		w.t.Fatal(err)
	}
	if rec.ID() != s.ID || s.Node != testNode || rec.Submission.Kind.Stream() != s.Stream {
		w.t.Fatalf("record %s is answered as %s of %s in %s", rec.ID(), s.ID, s.Node, s.Stream)
	}
	head, err := evidence.ParseReceiptHead(s.ReceiptHead)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := head.Signed.Verify(testChain, w.intake.Public()); err != nil {
		w.t.Fatal(err)
	}
	if head.Seq != s.Seq || !head.ReceivedAt.Equal(rec.Intake.ReceivedAt) {
		w.t.Fatalf("receipt of %s differs from its record: %+v", s.ID, head)
	}
	if err := merkle.VerifyInclusion(merkle.LeafHash(s.Record), s.ReceiptIndex, head.Count, s.ReceiptPath, head.Root); err != nil {
		w.t.Fatalf("receipt path of %s: %v", s.ID, err)
	}
	st, err := evidence.ParseStatement(s.Statement)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := st.Signed.Verify(testChain, w.user.Public()); err != nil {
		w.t.Fatal(err)
	}
	if merkle.Sum(s.Statement) != rec.Intake.Statement {
		w.t.Fatalf("%s names another statement", s.ID)
	}
	if err := merkle.VerifyInclusion(rec.Pair(), rec.Intake.Index, st.Count, s.StatementPath, st.Root); err != nil {
		w.t.Fatalf("statement path of %s: %v", s.ID, err)
	}
	return head
}

// checkPromise verifies that the chain has the header that the receipt named,
// with the record's leaf.
func (w *world) checkPromise(held Stored) {
	w.t.Helper()
	head := w.checkReceipt(held)
	found, err := w.a.ByID(held.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(found) != 1 {
		w.t.Fatalf("%s is stored %d times", held.ID, len(found))
	}
	now := found[0]
	if !sameReceipt(held, now) {
		w.t.Fatalf("the receipt of %s has changed", held.ID)
	}
	index, ok, err := w.chain.Batch(testNode, head.Seq)
	if err != nil || !ok {
		w.t.Fatalf("the chain has no batch %d: %v", head.Seq, err)
	}
	entry, err := w.chain.Entry(index)
	if err != nil {
		w.t.Fatal(err)
	}
	if string(entry) != string(now.Header) {
		w.t.Fatalf("the archive has another header of batch %d than the chain", head.Seq)
	}
	b, err := evidence.ParseBatch(entry)
	if err != nil {
		w.t.Fatal(err)
	}
	root := b.Streams[now.Stream]
	if err := merkle.VerifyInclusion(merkle.LeafHash(held.Record), now.StreamIndex, root.Count, now.StreamPath, root.Root); err != nil {
		w.t.Fatalf("stream path of %s: %v", held.ID, err)
	}
	if head.ReceivedAt.Before(b.FirstReceivedAt) || head.ReceivedAt.After(b.LastReceivedAt) {
		w.t.Fatalf("received_at of %s is not within its batch", held.ID)
	}
}

// sameReceipt compares what a receipt and a record are, byte for byte.
func sameReceipt(a, b Stored) bool {
	a.New, b.New = false, false
	a.Header, b.Header, a.StreamPath, b.StreamPath = nil, nil, nil, nil
	x, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return string(x) == string(y)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// stored are the records of what was taken in: stored(a.Submit(ctx, req)).
func stored(t *Taken, err error) ([]Stored, error) {
	if err != nil {
		return nil, err
	}
	return t.Stored()
}
