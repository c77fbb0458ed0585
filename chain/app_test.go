package chain

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// ledgerOf opens a member's node without CometBFT.
func (f *fixture) ledgerOf(id string) *Chain {
	f.tb.Helper()
	cfg := f.config(id)
	cfg = cfg.withDefaults()
	ch := must[*Chain](f.tb)(open(cfg, f.c))
	f.tb.Cleanup(func() { _ = ch.store.close() }) // some tests close it themselves
	return ch
}

// block executes and commits one height at a node.
func (f *fixture) block(ch *Chain, txs ...[]byte) *abci.ResponseFinalizeBlock {
	f.tb.Helper()
	height := ch.app.state().height + 1
	res, err := ch.app.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{
		Height: height, Time: f.c.genesis.CreatedAt.Add(time.Duration(height) * time.Second), Txs: txs})
	if err != nil {
		f.tb.Fatal(err)
	}
	if _, err := ch.app.Commit(context.Background(), &abci.RequestCommit{}); err != nil {
		f.tb.Fatal(err)
	}
	return res
}

func (f *fixture) foreign() *fixture { return newFixture(f.tb) }

// spoil changes the first signature digit of a signed object.
func spoil(tx []byte) []byte {
	out := bytes.Clone(tx)
	i := bytes.Index(out, []byte(`"sig":"`)) + len(`"sig":"`)
	if out[i] == '0' {
		out[i] = '1'
	} else {
		out[i] = '0'
	}
	return out
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	setup := f.block(ch, f.register("vendor-a", "old"), f.register("vendor-a", "gone"), f.batch("vendor-a", 5, nil))
	for i, r := range setup.TxResults {
		if r.Code != 0 {
			t.Fatalf("setting up, transaction %d: %s", i, r.Log)
		}
	}
	f.block(ch, f.revoke("vendor-a", "gone"))
	size := ch.Size()
	other := f.foreign()
	card := f.parties["court-a"].card.Signed.Raw
	stranger := evidence.Batch{Node: "stranger", Seq: 1, RegistrySize: 1, FirstReceivedAt: baseTime, LastReceivedAt: baseTime,
		Streams: header("vendor-a", 1, nil).Streams}

	valid := []struct {
		name string
		tx   []byte
	}{
		{"the next batch", f.batch("vendor-a", 6, nil)},
		{"a batch after a gap", f.batch("vendor-a", 900, nil)},
		{"the first batch of another node", f.batch("court-a", 1, nil)},
		{"three streams", f.batch("notary-a", 1, func(b *evidence.Batch) {
			for _, s := range evidence.Streams {
				b.Streams[s] = evidence.StreamRoot{Count: 2, Root: merkle.LeafHash(nil)}
			}
		})},
		{"received at the very last time", f.batch("vendor-a", 6, func(b *evidence.Batch) {
			b.FirstReceivedAt = header("vendor-a", 5, nil).LastReceivedAt
		})},
		{"registry size of the whole ledger", f.batch("vendor-a", 6, func(b *evidence.Batch) { b.RegistrySize = size })},
		{"a new key", f.register("vendor-a", "new")},
		{"the name of another member's key", f.register("court-a", "old")},
		{"a revocation", f.revoke("vendor-a", "old")},
	}
	invalid := []struct {
		name string
		tx   []byte
		code code
		text string
	}{
		{"too large", bytes.Repeat([]byte("x"), maxTxBytes+1), codeSize, "at most 65536"},
		{"empty", nil, codeMalformed, "not a canonical signed object"},
		{"not JSON", []byte("hello"), codeMalformed, "not a canonical signed object"},
		{"trailing byte", append(f.batch("vendor-a", 6, nil), ' '), codeMalformed, "not a canonical signed object"},
		{"a card", card, codeType, "a batch or a key entry, not a card"},
		{"no stream", rebody(f.batch("vendor-a", 6, nil), `"streams":{`, `}`, ""), codeMalformed, "streams"},
		{"a stream of nothing", bytes.Replace(f.batch("vendor-a", 6, nil), []byte(`"count":1,`), []byte(`"count":0,`), 1), codeMalformed, "count"},
		{"a fourth stream", bytes.Replace(f.batch("vendor-a", 6, nil), []byte(`"streams":{"contract"`), []byte(`"streams":{"another"`), 1), codeMalformed, "streams"},
		{"of no member", must[[]byte](t)(stranger.Sign(f.c.chainID, f.parties["court-a"].intake)), codeMember, "stranger is no member"},
		{"the same number", f.batch("vendor-a", 5, nil), codeSeq, "the last one taken is 5"},
		{"a smaller number", f.batch("vendor-a", 4, nil), codeSeq, "the last one taken is 5"},
		{"received before the last batch ended", f.batch("vendor-a", 6, func(b *evidence.Batch) {
			b.FirstReceivedAt = header("vendor-a", 5, nil).LastReceivedAt.Add(-time.Millisecond)
		}), codeTime, "first_received_at"},
		{"registry size beyond the ledger", f.batch("vendor-a", 6, func(b *evidence.Batch) { b.RegistrySize = size + 1 }), codeRegistrySize, "more than the ledger's"},
		{"batch signed by another member", must[[]byte](t)(header("vendor-a", 6, nil).Sign(f.c.chainID, f.parties["court-a"].intake)), codeSignature, "intake key of vendor-a"},
		{"batch signed with the admin key", must[[]byte](t)(header("vendor-a", 6, nil).Sign(f.c.chainID, f.parties["vendor-a"].admin)), codeSignature, "intake key of vendor-a"},
		{"batch signed for another chain", must[[]byte](t)(header("vendor-a", 6, nil).Sign(other.c.chainID, f.parties["vendor-a"].intake)), codeSignature, "intake key of vendor-a"},
		{"a spoiled signature", spoil(f.batch("vendor-a", 6, nil)), codeSignature, "did not sign this"},
		{"a key name in use", f.register("vendor-a", "old"), codeKeyUsed, "a name is used once"},
		{"a revoked key name", f.register("vendor-a", "gone"), codeKeyUsed, "a name is used once"},
		{"revoking an unknown key", f.revoke("vendor-a", "never"), codeKeyUnknown, "not registered"},
		{"revoking another member's key", f.revoke("court-a", "old"), codeKeyUnknown, "not registered"},
		{"revoking twice", f.revoke("vendor-a", "gone"), codeKeyRevoked, "was revoked at ledger index 4"},
		{"key signed by another member", must[[]byte](t)((&evidence.KeyEntry{Action: evidence.Revoke, Key: "old", Member: "vendor-a", SignedAt: baseTime}).Sign(f.c.chainID, f.parties["court-a"].admin)), codeSignature, "admin key of vendor-a"},
	}
	before := ch.app.state()
	for _, c := range valid {
		t.Run("valid/"+c.name, func(t *testing.T) {
			got := checkBoth(t, ch, c.tx)
			if got.Code != 0 {
				t.Fatalf("refused: %s", got.Log)
			}
			clear(ch.app.pending)
		})
	}
	for _, c := range invalid {
		t.Run("invalid/"+c.name, func(t *testing.T) {
			got := checkBoth(t, ch, c.tx)
			if code(got.Code) != c.code || !strings.Contains(got.Log, c.text) {
				t.Fatalf("code %d %q, want %d %q", got.Code, got.Log, c.code, c.text)
			}
		})
	}
	f.block(ch, func() (txs [][]byte) {
		for _, c := range invalid {
			txs = append(txs, c.tx)
		}
		return txs
	}()...)
	if after := ch.app.state(); after.size != before.size || after.appHash != before.appHash || after.registrySize != before.registrySize {
		t.Errorf("refused transactions left a trace: %+v", after)
	}
}

// rebody replaces what stands between two markers.
func rebody(tx []byte, from, to, with string) []byte {
	i := bytes.Index(tx, []byte(from)) + len(from)
	j := i + bytes.Index(tx[i:], []byte(`,"v":1`)) - len(to)
	return append(append(bytes.Clone(tx[:i]), with...), tx[j:]...)
}

// checkBoth asks CheckTx and executes the transaction alone, without
// committing: both must say the same.
func checkBoth(t *testing.T, ch *Chain, tx []byte) *abci.ResponseCheckTx {
	t.Helper()
	got := must[*abci.ResponseCheckTx](t)(ch.app.CheckTx(t.Context(), &abci.RequestCheckTx{Tx: tx, Type: abci.CheckTxType_New}))
	st := ch.app.state()
	blk := must[*block](t)(execute(ch.c, st, ch.store, st.height+1, st.blockTime, [][]byte{tx}))
	var executed code
	if r := blk.results[0]; r != nil {
		executed = r.code
	}
	if executed != code(got.Code) {
		t.Fatalf("CheckTx says %d (%s), FinalizeBlock says %d", got.Code, got.Log, executed)
	}
	if (executed == 0) != (blk.next.size == st.size+1) {
		t.Fatalf("code %d and size %d after %d", executed, blk.next.size, st.size)
	}
	return got
}

func TestWithinOneBlock(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	res := f.block(ch,
		f.register("vendor-a", "k"), f.revoke("vendor-a", "k"), f.register("vendor-a", "k"), // changes act from the next height
		f.batch("court-a", 2, nil), f.batch("court-a", 1, nil), f.batch("court-a", 3, nil), f.batch("court-a", 9, nil), f.batch("court-a", 10, nil),
		f.register("court-a", "k"))
	want := []code{0, codeKeyUsed, codeKeyUsed, 0, codeSeq, 0, 0, codeCrowded, codeCrowded}
	for i, r := range res.TxResults {
		if code(r.Code) != want[i] {
			t.Errorf("transaction %d: code %d (%s), want %d", i, r.Code, r.Log, want[i])
		}
	}
	if ch.Size() != 5 || ch.RegistrySize() != 5 {
		t.Errorf("size %d, registry size %d", ch.Size(), ch.RegistrySize())
	}
	f.block(ch, f.batch("court-a", 11, nil))
	if ch.RegistrySize() != 5 {
		t.Errorf("a batch changed the registry size to %d", ch.RegistrySize())
	}
	f.block(ch, f.revoke("vendor-a", "k"))
	k, ok, err := ch.Key("vendor-a", "k")
	if err != nil || !ok || k.Index != 1 || k.RevokedAt == nil || *k.RevokedAt != 6 || ch.RegistrySize() != 7 {
		t.Errorf("key %+v, registry size %d, %v", k, ch.RegistrySize(), err)
	}
	keys, err := ch.Keys("")
	if err != nil || len(keys) != 1 {
		t.Errorf("keys %+v %v", keys, err)
	}
	if _, err := ch.Keys("stranger"); err == nil {
		t.Error("keys of a stranger were given")
	}
	if seq, last, err := ch.LastSeq("court-a"); seq != 11 || !last.Equal(header("court-a", 11, nil).LastReceivedAt) || err != nil {
		t.Errorf("last batch %d %s %v", seq, last, err)
	}
}

func TestPendingBound(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	check := func(tx []byte, typ abci.CheckTxType) code {
		return code(must[*abci.ResponseCheckTx](t)(ch.app.CheckTx(t.Context(), &abci.RequestCheckTx{Tx: tx, Type: typ})).Code)
	}
	var first []byte
	for i := range maxPendingPerMember {
		tx := f.batch("vendor-a", uint64(i+1), nil)
		if first == nil {
			first = tx
		}
		if got := check(tx, abci.CheckTxType_New); got != 0 {
			t.Fatalf("transaction %d: code %d", i, got)
		}
	}
	over := f.batch("vendor-a", 99, nil)
	if got := check(over, abci.CheckTxType_New); got != codeBusy {
		t.Errorf("one too many: code %d", got)
	}
	if got := check(first, abci.CheckTxType_Recheck); got != 0 {
		t.Errorf("one that waits already: code %d", got)
	}
	if got := check(f.batch("court-a", 1, nil), abci.CheckTxType_New); got != 0 {
		t.Errorf("another member's: code %d", got)
	}
	f.block(ch)
	if got := check(over, abci.CheckTxType_New); got != 0 {
		t.Errorf("after a height: code %d", got)
	}
}

func TestProposals(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	f.block(ch, f.batch("vendor-a", 1, nil))
	var txs [][]byte
	for seq := uint64(7); seq > 0; seq-- {
		txs = append(txs, f.batch("vendor-a", seq, nil))
	}
	txs = append(txs, []byte("junk"), f.batch("court-a", 1, nil))
	prepare := func(max int64) [][]byte {
		return must[*abci.ResponsePrepareProposal](t)(ch.app.PrepareProposal(t.Context(), &abci.RequestPrepareProposal{Txs: txs, MaxTxBytes: max})).Txs
	}
	process := func(txs ...[]byte) bool {
		return must[*abci.ResponseProcessProposal](t)(ch.app.ProcessProposal(t.Context(), &abci.RequestProcessProposal{Txs: txs})).IsAccepted()
	}
	got := prepare(1 << 20)
	var seqs []string
	for _, tx := range got {
		b := must[*evidence.Batch](t)(evidence.ParseBatch(tx))
		seqs = append(seqs, fmt.Sprint(b.Node, " ", b.Seq))
	}
	if want := "[vendor-a 2 vendor-a 3 vendor-a 4 vendor-a 5 court-a 1]"; fmt.Sprint(seqs) != want {
		t.Errorf("proposed %v, want %v", seqs, want)
	}
	if !process(got...) {
		t.Error("the own proposal is rejected")
	}
	if n := len(prepare(int64(len(txs[0])) + 20)); n != 1 {
		t.Errorf("%d transactions where one has room", n)
	}
	for _, c := range []struct {
		name string
		txs  [][]byte
		ok   bool
	}{
		{"nothing", nil, true},
		{"a stale one", [][]byte{f.batch("vendor-a", 1, nil)}, true},
		{"a false signature", [][]byte{spoil(f.batch("vendor-a", 2, nil))}, true},
		{"junk", [][]byte{[]byte("junk")}, false},
		{"too large", [][]byte{make([]byte, maxTxBytes+1)}, false},
		{"five of one member", txs[:5], false},
		{"four of one member", txs[:4], true},
	} {
		if process(c.txs...) != c.ok {
			t.Errorf("%s: accepted %v", c.name, !c.ok)
		}
	}
}

func TestPeerFilter(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	for path, want := range map[string]bool{
		"/p2p/filter/addr/192.0.2.1:4242":                     true,
		"/p2p/filter/id/" + f.parties["vendor-a"].card.NodeID: true,
		"/p2p/filter/id/" + strings.Repeat("00", 20):          false,
		"/p2p/filter/id/": false,
		"/key":            false,
		"/p2p/filter/id/" + f.parties["vendor-a"].card.NodeID + "0": false,
	} {
		res := must[*abci.ResponseQuery](t)(ch.app.Query(t.Context(), &abci.RequestQuery{Path: path}))
		if (res.Code == 0) != want {
			t.Errorf("%s: code %d", path, res.Code)
		}
	}
}

func TestInitChain(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	doc := f.c.genesisDoc()
	if err := doc.ValidateAndComplete(); err != nil {
		t.Fatal(err)
	}
	vals := make([]abci.ValidatorUpdate, len(doc.Validators))
	good := abci.RequestInitChain{ChainId: doc.ChainID, AppStateBytes: doc.AppState, Validators: vals}
	res := must[*abci.ResponseInitChain](t)(ch.app.InitChain(t.Context(), &good))
	if want := genesisState(f.c).appHash; !bytes.Equal(res.AppHash, want[:]) || len(res.AppHash) != 64 {
		t.Errorf("AppHash %x, want %x", res.AppHash, want)
	}
	for name, change := range map[string]func(*abci.RequestInitChain){
		"another chain":    func(r *abci.RequestInitChain) { r.ChainId = "other-12345678" },
		"another genesis":  func(r *abci.RequestInitChain) { r.AppStateBytes = appState([]byte("{}")) },
		"fewer validators": func(r *abci.RequestInitChain) { r.Validators = vals[1:] },
	} {
		bad := good
		change(&bad)
		if _, err := ch.app.InitChain(t.Context(), &bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	f.block(ch)
	if _, err := ch.app.InitChain(t.Context(), &good); err == nil {
		t.Error("a chain that has begun was begun again")
	}
	if entry, err := ch.Entry(0); err != nil || !bytes.Equal(entry, f.raw) {
		t.Errorf("entry 0 is not the genesis: %v", err)
	}
}

func TestTwoHeadersForOneNumber(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	first := f.batch("vendor-a", 1, nil)
	f.block(ch, first)
	f.block(ch, first)
	f.block(ch, spoil(f.batch("vendor-a", 1, func(b *evidence.Batch) { b.RegistrySize = 1; b.LastReceivedAt = b.LastReceivedAt.Add(time.Second) })))
	if len(ch.alarms) != 0 {
		t.Fatalf("alarms without a lie: %+v", ch.alarms)
	}
	f.block(ch, f.batch("vendor-a", 1, func(b *evidence.Batch) { b.LastReceivedAt = b.LastReceivedAt.Add(time.Second) }))
	if len(ch.alarms) != 1 || !strings.Contains(ch.alarms[0].Text, "two batch headers") {
		t.Errorf("alarms %+v", ch.alarms)
	}
}

func TestQueries(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	for i := range uint64(9) {
		f.block(ch, f.batch("vendor-a", i+1, nil))
	}
	size := ch.Size()
	root := ch.app.state().root
	for i := range size {
		entry := must[[]byte](t)(ch.Entry(i))
		path := must[[]merkle.Digest](t)(ch.Inclusion(i, size))
		if err := merkle.VerifyInclusion(merkle.LeafHash(entry), i, size, path, root); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		if i == 0 {
			continue
		}
		old := must[merkle.Digest](t)(merkle.RootAt(i, ch.store))
		if err := merkle.VerifyConsistency(i, size, old, root, must[[]merkle.Digest](t)(ch.Consistency(i, size))); err != nil {
			t.Errorf("consistency from %d: %v", i, err)
		}
		if got, ok, err := ch.Batch("vendor-a", i); got != i || !ok || err != nil {
			t.Errorf("batch %d is at %d %v %v", i, got, ok, err)
		}
	}
	if _, ok, err := ch.Batch("vendor-a", size); ok || err != nil {
		t.Errorf("a batch that is not there: %v %v", ok, err)
	}
	for name, err := range map[string]error{
		"an entry beyond":     second(ch.Entry(size)),
		"a path beyond":       second(ch.Inclusion(0, size+1)),
		"a path of nothing":   second(ch.Inclusion(size, size)),
		"consistency beyond":  second(ch.Consistency(1, size+1)),
		"consistency from 0":  second(ch.Consistency(0, size)),
		"consistency back":    second(ch.Consistency(3, 2)),
		"seals of a size yet": third(ch.Seals(size + 1)),
	} {
		if err == nil {
			t.Errorf("%s was given", name)
		}
	}
	if _, _, ok, err := ch.Covering(0); ok || err != nil {
		t.Errorf("a checkpoint without seals: %v %v", ok, err)
	}
	if _, _, ok, err := ch.Checkpoint(); ok || err != nil {
		t.Errorf("a checkpoint without seals: %v %v", ok, err)
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

// FuzzCheckTx throws bytes at the gate that peers and clients can reach. What
// it admits must be executed without a refusal.
func FuzzCheckTx(f *testing.F) {
	fix := newFixture(f)
	cfg := fix.config("court-a")
	cfg = cfg.withDefaults()
	cfg.Dir = filepath.Join(f.TempDir(), "data")
	ch := must[*Chain](f)(open(cfg, fix.c))
	f.Cleanup(func() { _ = ch.store.close() })
	good := fix.batch("vendor-a", 1, nil)
	for _, seed := range [][]byte{good, spoil(good), fix.register("court-a", "k"), fix.revoke("court-a", "k"),
		fix.parties["court-a"].card.Signed.Raw, fix.raw, nil, []byte("{}"), []byte(`{"body":{},"sig":"","type":"batch"}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, tx []byte) {
		res, err := ch.app.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: tx})
		if err != nil {
			t.Fatal(err)
		}
		st := ch.app.state()
		blk, err := execute(ch.c, st, ch.store, 1, st.blockTime, [][]byte{tx})
		if err != nil {
			t.Fatal(err)
		}
		if (res.Code == 0) != (blk.results[0] == nil) {
			t.Fatalf("CheckTx says %d, FinalizeBlock %v", res.Code, blk.results[0])
		}
		clear(ch.app.pending)
	})
}
