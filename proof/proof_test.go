package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// consortium is four members with their private keys, and the ledger that they
// would have agreed on: enough to make real proofs without a network.
type consortium struct {
	t       testing.TB
	genesis *evidence.Genesis
	policy  *checkpoint.Policy
	seal    map[string]checkpoint.SealKeys
	intake  map[string]gm.Signer
	user    *gm.PrivateKey
	entries [][]byte
	now     time.Time
}

func newKey(t testing.TB, alg gm.Alg) *gm.PrivateKey {
	t.Helper()
	k, err := gm.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newConsortium(t testing.TB) *consortium {
	c := &consortium{t: t, seal: map[string]checkpoint.SealKeys{}, intake: map[string]gm.Signer{},
		now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), user: newKey(t, gm.SM2)}
	g := &evidence.Genesis{CreatedAt: c.now, Name: "test", Quorum: checkpoint.DefaultQuorum(4)}
	var admin *gm.PrivateKey
	for i, id := range []string{"arbitration-a", "court-a", "notary-a", "vendor-a"} {
		keys := checkpoint.SealKeys{Log: newKey(t, gm.Ed25519), Ed25519: newKey(t, gm.Ed25519), SM2: newKey(t, gm.SM2)}
		intake := newKey(t, gm.SM2)
		admin = newKey(t, gm.SM2) // the last, vendor-a's, signs the key entry
		node := sha256.Sum256([]byte(id))
		role, _, _ := strings.Cut(id, "-")
		card := &evidence.Card{Admin: admin.Public(), Consensus: newKey(t, gm.Ed25519).Public(), ID: id, Intake: intake.Public(),
			Log: keys.Log.Public(), Name: id, NodeID: hex.EncodeToString(node[:20]), Peer: fmt.Sprintf("127.0.0.1:%d", 8110+i),
			Role: checkpoint.Role(role), SealEd25519: keys.Ed25519.Public(), SealSM2: keys.SM2.Public()}
		g.Cards = append(g.Cards, must(evidence.ParseCard(must(card.Sign(admin)))))
		c.seal[id], c.intake[id] = keys, intake
	}
	c.genesis = must(evidence.ParseGenesis(must(g.Marshal())))
	c.policy = must(GenesisPolicy(c.genesis))
	entry := &evidence.KeyEntry{Action: evidence.Register, Key: "crm-1", Member: "vendor-a", PublicKey: c.user.Public(),
		Purpose: evidence.Submit, SignedAt: c.now}
	c.entries = [][]byte{c.genesis.Raw, must(entry.Sign(c.policy.Chain, admin))}
	return c
}

func (c *consortium) submission(k evidence.Kind, content merkle.Digest) *evidence.Submission {
	s := &evidence.Submission{Kind: k, Submitter: "vendor-a", Key: "crm-1", CapturedAt: c.now.Add(-time.Minute),
		Source: evidence.Source{Environment: "test", Mechanism: "manual", System: "other"}}
	if k.Stream() == evidence.Contract {
		s.Digest = &content
	} else {
		s.Claims, s.Method, s.Result = &content, k.Methods()[0], "passed"
	}
	return s
}

// proof preserves the submissions as one request and one batch, puts later
// further entries on the ledger, seals, and returns the proof of each.
func (c *consortium) proof(later int, sealers []string, subs ...*evidence.Submission) []*File {
	chain := c.policy.Chain
	received := c.now.Add(2 * time.Millisecond)
	req := must(evidence.NewRequest(chain, subs, c.now, c.user))
	stPair := merkle.Sum(req.Statement.Signed.Raw)
	var leaves, subLeaves []merkle.Digest
	streams := map[evidence.Stream][]merkle.Digest{}
	files := make([]*File, len(subs))
	for i, s := range req.Submissions {
		rec := evidence.AppendRecord(nil, evidence.Intake{Index: uint64(i), Node: "vendor-a", ReceivedAt: received, Statement: stPair}, s.Bytes)
		leaf := merkle.LeafHash(rec)
		leaves, subLeaves = append(leaves, leaf), append(subLeaves, s.Pair)
		st := s.Kind.Stream()
		files[i] = &File{Chain: chain, Record: rec, Batch: &BatchPart{StreamIndex: uint64(len(streams[st]))}}
		streams[st] = append(streams[st], leaf)
	}
	head := &evidence.ReceiptHead{Count: uint64(len(leaves)), Deadline: c.now.Add(24 * time.Hour), Node: "vendor-a", ReceivedAt: received,
		Root: merkle.Root(leaves), Sealed: evidence.Head{Root: merkle.EmptyRoot()}, Seq: 5}
	rawHead := must(head.Sign(chain, c.intake["vendor-a"]))
	header := &evidence.Batch{FirstReceivedAt: received, LastReceivedAt: received, Node: "vendor-a", RegistrySize: 2, Seq: 5,
		Streams: map[evidence.Stream]evidence.StreamRoot{}}
	for st, l := range streams {
		header.Streams[st] = evidence.StreamRoot{Count: uint64(len(l)), Root: merkle.Root(l)}
	}
	rawHeader := must(header.Sign(chain, c.intake["vendor-a"]))
	index := uint64(len(c.entries))
	c.entries = append(c.entries, rawHeader)
	for i := range later {
		c.entries = append(c.entries, fmt.Appendf(nil, "later entry %d", i))
	}
	ledger := make([]merkle.Digest, len(c.entries))
	for i, e := range c.entries {
		ledger[i] = merkle.LeafHash(e)
	}
	cp := checkpoint.Checkpoint{Origin: checkpoint.Origin(chain), Size: uint64(len(ledger)), Root: merkle.Root(ledger)}
	var seals []checkpoint.Seal
	for i, id := range sealers {
		seals = append(seals, must(checkpoint.Sign(cp, id, c.now.Unix()+1+int64(i), c.seal[id])))
	}
	note := must(checkpoint.Note(cp, seals, &c.policy.Epochs[0]))
	for i, f := range files {
		st := req.Submissions[i].Kind.Stream()
		f.Statement = StatementPart{must(merkle.Inclusion(subLeaves, uint64(i))), req.Statement.Signed.Raw}
		f.Receipt = ReceiptPart{rawHead, uint64(i), must(merkle.Inclusion(leaves, uint64(i)))}
		f.Batch.Entry, f.Batch.Index, f.Batch.Path = rawHeader, index, must(merkle.Inclusion(ledger, index))
		f.Batch.StreamPath = must(merkle.Inclusion(streams[st], f.Batch.StreamIndex))
		f.Key = &KeyPart{c.entries[1], 1, must(merkle.Inclusion(ledger, 1))}
		f.Checkpoint = note
		files[i] = must(Parse(must(f.Marshal())))
	}
	return files
}

var all = []string{"arbitration-a", "court-a", "notary-a", "vendor-a"}

func contentOf(data string) *Content {
	return &Content{Digest: merkle.Sum([]byte(data)), SecondSM3: gm.SM3Second([]byte(data)), Size: uint64(len(data))}
}

func wantResult(t *testing.T, what string, r *Report, want Result, failed ...StepName) {
	t.Helper()
	if r.Result != want {
		t.Errorf("%s: %s, want %s\n%s", what, r.Result, want, r.Text(English))
	}
	var got []StepName
	for _, s := range r.Steps {
		if s.Outcome == StepFailed {
			got = append(got, s.Name)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(failed) {
		t.Errorf("%s: failed steps %v, want %v", what, got, failed)
	}
}

func TestVerifyProves(t *testing.T) {
	for later := range 4 {
		c := newConsortium(t)
		claims := evidence.NewClaims([]string{"姓名"}, []string{"林晓"})
		subs := []*evidence.Submission{
			c.submission(evidence.ContractFinal, contentOf("the contract").Digest),
			c.submission(evidence.IdentityPerson, claims.Root()),
			c.submission(evidence.SigningIntent, claims.Root()),
			c.submission(evidence.ContractAttachment, contentOf("attachment").Digest),
		}
		contents := []*Content{contentOf("the contract"), {Claims: claims}, {Claims: claims}, contentOf("attachment")}
		files := c.proof(later, all, subs...)
		for i, f := range files {
			what := fmt.Sprintf("%d later, %s", later, subs[i].Kind)
			r := Verify(f, c.policy, contents[i], Options{Second: true})
			wantResult(t, what, r, Proved)
			if len(r.Steps) != 17 || r.ExitCode() != 0 || !r.SealedTime.Equal(c.now.Add(3*time.Second)) || len(r.Seals) != 4 {
				t.Errorf("%s: %d steps, exit %d, sealed %s, %d seals", what, len(r.Steps), r.ExitCode(), r.SealedTime, len(r.Seals))
			}
			if err := canon.IsCanonical(r.JSON()); err != nil {
				t.Errorf("%s: report: %v", what, err)
			}
			if !strings.Contains(r.Text(Chinese), "结论：上链后未经篡改\n") {
				t.Errorf("%s: the Chinese verdict is missing:\n%s", what, r.Text(Chinese))
			}
			wantResult(t, what+", no content", Verify(f, c.policy, nil, Options{}), Proved)
			wantResult(t, what+", wrong content", Verify(f, c.policy, contentOf("another"), Options{Second: true}), False, StepContent)
		}
	}
}

func TestVerifyNotProved(t *testing.T) {
	c := newConsortium(t)
	content := contentOf("the contract")
	sub := c.submission(evidence.ContractFinal, content.Digest)
	f := c.proof(2, all[1:3], sub)[0]
	r := Verify(f, c.policy, content, Options{Second: true})
	wantResult(t, "two of four", r, NotProved, StepQuorum)
	if r.ExitCode() != 3 || !r.SealedTime.IsZero() {
		t.Errorf("two of four: exit %d, sealed %s", r.ExitCode(), r.SealedTime)
	}

	c = newConsortium(t)
	f = c.proof(2, []string{"arbitration-a", "court-a", "vendor-a"}, c.submission(evidence.ContractFinal, content.Digest))[0]
	wantResult(t, "three of four", Verify(f, c.policy, content, Options{}), Proved)
	strict := *c.policy
	strict.Epochs = []checkpoint.Epoch{c.policy.Epochs[0]}
	strict.Epochs[0].Quorum.Require = []checkpoint.Require{{Role: checkpoint.Notary, Count: 1}}
	wantResult(t, "notary required", Verify(f, &strict, content, Options{}), NotProved, StepQuorum)

	wantResult(t, "policy of another chain", Verify(f, newConsortium(t).policy, content, Options{Second: true}), NotProved, StepChain)

	receipt := *f
	receipt.Batch, receipt.Key, receipt.Checkpoint = nil, nil, nil
	parsed := must(Parse(must(receipt.Marshal())))
	r = Verify(parsed, c.policy, content, Options{Second: true})
	wantResult(t, "receipt only", r, NotProved)
	if len(r.Steps) != 17 {
		t.Errorf("receipt only: %d steps", len(r.Steps))
	}
	if s, _ := r.Step(StepReceipt); s.Outcome != StepProved {
		t.Errorf("receipt only: receipt %s", s.Outcome)
	}
	parsed.Receipt.Path = []merkle.Digest{{}}
	wantResult(t, "false receipt", Verify(parsed, c.policy, content, Options{}), False, StepReceipt)
}

// TestTermsAreComplete: no word of a closed list reaches a Chinese reader in
// English only.
func TestTermsAreComplete(t *testing.T) {
	lists := [][]string{evidence.SourceSystems, evidence.SourceMechanisms, evidence.SourceEnvironments, evidence.PersonMethods,
		evidence.CompanyMethods, evidence.IntentMethods, evidence.Results}
	for _, k := range evidence.Kinds {
		lists = append(lists, []string{string(k)})
	}
	for _, list := range lists {
		for _, word := range list {
			if terms[word] == "" {
				t.Errorf("%q has no Chinese word", word)
			}
		}
	}
	for _, name := range []StepName{StepChain, StepContent, StepSubmission, StepSubmitter, StepReceipt, StepBatch, StepStream, StepReceived,
		StepLedger, StepKey, StepStatement, StepCheckpoint, StepQuorum, StepPin, StepTimes, StepSecondOpinion, StepAnchors} {
		if stepTitles[name].ZH == "" || stepTitles[name].EN == "" {
			t.Errorf("step %q has no title", name)
		}
	}
}

// TestVerifyAcrossEpochs: a member has changed its admin and intake keys since;
// what the old ones signed at entries of the old epoch still stands, and the new
// ones do not speak for it.
func TestVerifyAcrossEpochs(t *testing.T) {
	c := newConsortium(t)
	f := c.proof(3, all, c.submission(evidence.ContractFinal, contentOf("x").Digest))[0] // the batch is entry 2, the size 6
	second := c.policy.Epochs[0]
	second.First = 5
	second.Members = slices.Clone(second.Members)
	for i := range second.Members {
		second.Members[i].Intake, second.Members[i].Admin = newKey(t, gm.SM2).Public(), newKey(t, gm.SM2).Public()
	}
	p := *c.policy
	p.Epochs = []checkpoint.Epoch{c.policy.Epochs[0], second}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	wantResult(t, "keys changed since", Verify(f, &p, contentOf("x"), Options{}), Proved)
	p.Epochs[1].First = 3 // now the key entry alone is of the old epoch
	wantResult(t, "keys changed before the batch", Verify(f, &p, contentOf("x"), Options{}), False, StepReceipt, StepBatch)
}

func TestVerifyTimes(t *testing.T) {
	c := newConsortium(t)
	sub := c.submission(evidence.ContractFinal, contentOf("x").Digest)
	sub.CapturedAt = c.now.Add(time.Hour)
	r := Verify(c.proof(0, all, sub)[0], c.policy, contentOf("x"), Options{})
	if s, _ := r.Step(StepTimes); s.Outcome != StepNotPresent || r.Result != Proved {
		t.Errorf("captured in the future: %s, %s", s.Outcome, r.Result)
	}
	c = newConsortium(t)
	c.now = c.now.Add(-time.Hour) // seals of an hour before
	f := c.proof(0, all, c.submission(evidence.ContractFinal, contentOf("x").Digest))[0]
	early := c.now.Add(-time.Hour).Unix()
	s := must(checkpoint.Open(f.Checkpoint, c.policy, checkpoint.Options{}))
	var seals []checkpoint.Seal
	for _, id := range all {
		seals = append(seals, must(checkpoint.Sign(s.Checkpoint, id, early, c.seal[id])))
	}
	f.Checkpoint = must(checkpoint.Note(s.Checkpoint, seals, s.Epoch))
	r = Verify(f, c.policy, contentOf("x"), Options{})
	if s, _ := r.Step(StepTimes); s.Outcome != StepNotPresent || r.Result != Proved {
		t.Errorf("received after the seal: %s, %s", s.Outcome, r.Result)
	}
}

// TestEveryFlippedByte: a changed file is unreadable, or not proved, or states
// exactly what it stated before: white space, or the name in a log line, which
// makes it the line of an unknown key and of nobody's concern.
func TestEveryFlippedByte(t *testing.T) {
	c := newConsortium(t)
	content := contentOf("the contract")
	f := c.proof(1, all[:3], c.submission(evidence.ContractAttachment, content.Digest), c.submission(evidence.ContractFinal, content.Digest))[1]
	raw := must(f.Marshal())
	same := Verify(f, c.policy, content, Options{}).JSON()
	readable := 0
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		g, err := Parse(bad)
		if err != nil {
			continue
		}
		readable++
		r := Verify(g, c.policy, content, Options{})
		if r.Result != Proved {
			continue
		}
		if !bytes.Equal(r.JSON(), same) {
			t.Fatalf("byte %d (%q): still proved, but states something else", i, raw[max(0, i-20):min(len(raw), i+20)])
		}
	}
	if readable < 100 {
		t.Errorf("only %d flips could be read: the test tests nothing", readable)
	}
	for i := 0; i < len(raw)-1; i += 7 {
		if _, err := Parse(raw[:i]); err == nil {
			t.Fatalf("a file truncated at %d was taken", i)
		}
	}
}

func TestParseRefusals(t *testing.T) {
	c := newConsortium(t)
	f := c.proof(0, all, c.submission(evidence.ContractFinal, contentOf("x").Digest))[0]
	raw := string(must(canon.Canonicalize(must(f.Marshal()), MaxFileBytes)))
	for name, tt := range map[string]struct{ data, field string }{
		"not JSON":        {"hello", ""},
		"empty":           {"", ""},
		"type":            {strings.Replace(raw, `"qifeng-proof"`, `"other"`, 1), "type"},
		"version":         {strings.Replace(raw, `"qifeng-proof","v":1`, `"qifeng-proof","v":2`, 1), "v"},
		"anchor":          {strings.Replace(raw, `"anchors":[]`, `"anchors":[1]`, 1), "anchors"},
		"no checkpoint":   {raw[:strings.Index(raw, `"checkpoint":`)] + raw[strings.Index(raw, `"key":`):], ""},
		"unknown field":   {strings.Replace(raw, `"v":1}`, `"v":1,"x":1}`, 1), ""},
		"policy inside":   {strings.Replace(raw, `"receipt":`, `"policy":"","receipt":`, 1), ""},
		"chain":           {strings.Replace(raw, `"chain":"test-`, `"chain":"TEST-`, 1), "chain"},
		"entry 0":         {strings.Replace(raw, `"index":2,`, `"index":0,`, 1), "batch.index"},
		"record":          {strings.Replace(raw, `contract.final`, `contract.finel`, 1), "record"},
		"too long":        {raw + strings.Repeat(" ", MaxFileBytes), ""},
		"number too long": {strings.Replace(raw, `"index":2,`, `"index":9007199254740992,`, 1), "batch.index"},
	} {
		_, err := Parse([]byte(tt.data))
		if err == nil || !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%s: error %v, want one naming %q", name, err, tt.field)
		}
	}
}

// TestTorchwoodTakesTheExport lets a stock C2SP tool, which knows nothing of
// this project, verify the exported ledger proof.
func TestTorchwoodTakesTheExport(t *testing.T) {
	c := newConsortium(t)
	f := c.proof(5, all, c.submission(evidence.ContractFinal, contentOf("x").Digest))[0]
	policies := must(checkpoint.StockPolicies(c.policy))
	for _, member := range append([]string{""}, all...) {
		exported, name, err := ExportTlogProof(f, c.policy, member)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := torchwood.ParsePolicy(policies[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		leaf := tlog.RecordHash(f.Batch.Entry)
		if err := torchwood.VerifyProof(policy, leaf, exported); err != nil {
			t.Errorf("torchwood refuses the export for %q: %v", member, err)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash([]byte("else")), exported); err == nil {
			t.Error("torchwood takes the export for another entry")
		}
	}
	if _, _, err := ExportTlogProof(f, c.policy, "court-z"); err == nil {
		t.Error("exported the log line of nobody")
	}
	f.Batch, f.Key, f.Checkpoint = nil, nil, nil
	if _, _, err := ExportTlogProof(f, c.policy, ""); !errors.Is(err, ErrNotSealed) {
		t.Errorf("export of a receipt: %v", err)
	}
}

// FuzzVerify begins with the valid proofs of the test vectors: whatever else is
// proved under their policy must be one of their records, vouched for by seals
// that their members made. (A line that was damaged beyond recognition is an
// unknown line: a proof may come to say less, never more.)
func FuzzVerify(f *testing.F) {
	const dir = "../test/vectors/files/"
	policy := must(checkpoint.ParsePolicy(must(os.ReadFile(dir + "policies/trust.policy"))))
	made, sealed := map[string]bool{}, map[SealTime]bool{}
	for _, name := range must(filepath.Glob(dir + "proofs/valid-*.qifeng.json")) {
		raw := must(os.ReadFile(name))
		f.Add(raw)
		p := must(Parse(raw))
		made[string(p.Record)] = true
		for _, seal := range Verify(p, policy, nil, Options{}).Seals {
			sealed[seal] = true
		}
	}
	if len(made) < 10 {
		f.Fatalf("only %d valid vectors found", len(made))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		again, read, err := p.Written()
		if err != nil {
			t.Fatalf("%q cannot be written again: %v", data, err)
		}
		if q, err := Parse(again); err != nil || !reflect.DeepEqual(q, read) {
			t.Fatalf("%q, written again, is read differently: %v", data, err)
		}
		r := Verify(p, policy, nil, Options{})
		if r.Result == Proved && !made[string(p.Record)] {
			t.Fatalf("a record that nobody made is proved: %q", data)
		}
		for _, seal := range r.Seals {
			if r.Result == Proved && !sealed[seal] {
				t.Fatalf("a seal that nobody made counts: %v in %q", seal, data)
			}
		}
		if canon.IsCanonical(r.JSON()) != nil || r.Text(Chinese) == "" {
			t.Fatal("the report cannot be rendered")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	c := newConsortium(b)
	f := c.proof(1000, all, c.submission(evidence.ContractFinal, contentOf("x").Digest))[0]
	for _, second := range []bool{false, true} {
		b.Run(fmt.Sprintf("second=%v", second), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := Verify(f, c.policy, contentOf("x"), Options{Second: second}); r.Result != Proved {
					b.Fatal(r.Text(English))
				}
			}
		})
	}
}
