package evidence

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

var testTime = time.Date(2026, 11, 21, 8, 0, 0, 123e6, time.UTC)

const testChain = "test-00c0ffee"

// sample returns a valid submission of a kind with every field that it may have.
func sample(k Kind) *Submission {
	pair := func(s string) *merkle.Digest { d := merkle.Sum([]byte(s)); return &d }
	size := uint64(12345)
	s := &Submission{
		Kind: k, Submitter: "vendor-a", Key: "crm-1", CapturedAt: testTime, Nonce: [16]byte{1, 2, 3},
		Source:  Source{Environment: "test", Mechanism: "automatic", System: "vendor_platform"},
		Dossier: "00112233445566778899aabbccddeeff", Step: 3, Prev: pair("prev"), Refs: []merkle.Digest{*pair("r1"), *pair("r2")},
	}
	switch k.Stream() {
	case Contract:
		s.Digest, s.Size = pair("content"), &size
	default:
		s.Claims = pair("claims")
	}
	if m := k.Methods(); m != nil {
		s.Method = m[0]
	}
	switch k {
	case IdentityPerson, IdentityCompany, SigningIntent:
		s.Result = "passed"
	case IdentityCertificate:
		s.Result, s.Algorithm, s.Certificate = "failed", "sm2", pair("cert")
	case SigningSignature, SigningSeal:
		s.Signature, s.Certificate = pair("sig"), pair("cert")
	case DossierClose:
		s.Claims, s.Count, s.Root = nil, 7, pair("root")
	}
	return s
}

func testKey(t testing.TB, alg gm.Alg) *gm.PrivateKey {
	t.Helper()
	k, err := gm.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSubmissionOfEveryKind(t *testing.T) {
	for _, k := range Kinds {
		raw, err := sample(k).Marshal()
		if err != nil {
			t.Errorf("%s: %v", k, err)
			continue
		}
		if want, err := jcs.Transform(raw); err != nil || !bytes.Equal(want, raw) {
			t.Errorf("%s: not RFC 8785: %s", k, raw)
		}
		back, err := ParseSubmission(raw)
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		again, err := back.Marshal()
		if err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s: changed by a round trip:\n%s\n%s", k, raw, again)
		}
		if id := IDOf(PairOf(raw)); len(id) != 64 {
			t.Errorf("%s: id %q", k, id)
		}
	}
}

// TestKindFields tries every field that depends on the kind with every kind:
// present where it must or may be, refused elsewhere, missed where required.
func TestKindFields(t *testing.T) {
	values := map[string]func(*Submission){
		"algorithm":   func(s *Submission) { s.Algorithm = "rsa" },
		"certificate": func(s *Submission) { s.Certificate = &merkle.Digest{} },
		"claims":      func(s *Submission) { s.Claims = &merkle.Digest{} },
		"count":       func(s *Submission) { s.Count = 2 },
		"digest":      func(s *Submission) { s.Digest = &merkle.Digest{} },
		"method":      func(s *Submission) { s.Method = "manual" },
		"result":      func(s *Submission) { s.Result = "passed" },
		"root":        func(s *Submission) { s.Root = &merkle.Digest{} },
		"signature":   func(s *Submission) { s.Signature = &merkle.Digest{} },
		"size":        func(s *Submission) { s.Size = new(uint64) },
	}
	drop := map[string]func(*Submission){
		"algorithm": func(s *Submission) { s.Algorithm = "" }, "certificate": func(s *Submission) { s.Certificate = nil },
		"claims": func(s *Submission) { s.Claims = nil }, "count": func(s *Submission) { s.Count = 0 },
		"digest": func(s *Submission) { s.Digest = nil }, "method": func(s *Submission) { s.Method = "" },
		"result": func(s *Submission) { s.Result = "" }, "root": func(s *Submission) { s.Root = nil },
		"signature": func(s *Submission) { s.Signature = nil }, "dossier": func(s *Submission) { s.Dossier, s.Step = "", 0 },
	}
	for _, k := range Kinds {
		r := rules[k]
		for _, f := range kindFields {
			if strings.Contains(fmt.Sprint(r.required, r.optional), f) {
				continue
			}
			s := sample(k)
			values[f](s)
			wantField(t, s, fmt.Sprintf("%s with %s", k, f), f)
		}
		for _, f := range r.required {
			s := sample(k)
			drop[f](s)
			wantField(t, s, fmt.Sprintf("%s without %s", k, f), f)
		}
	}
}

func wantField(t *testing.T, s *Submission, what, field string) {
	t.Helper()
	_, err := s.Marshal()
	var syn *canon.SyntaxError
	if !errors.As(err, &syn) || syn.Field != field {
		t.Errorf("%s: error %v, want one of field %q", what, err, field)
	}
}

func TestSubmissionRefusals(t *testing.T) {
	tests := []struct {
		name, field string
		change      func(*Submission)
	}{
		{"unknown kind", "kind", func(s *Submission) { s.Kind = "contract.draft" }},
		{"upper-case member", "submitter", func(s *Submission) { s.Submitter = "Vendor-A" }},
		{"empty key", "key", func(s *Submission) { s.Key = "" }},
		{"key with slash", "key", func(s *Submission) { s.Key = "a/b" }},
		{"long key", "key", func(s *Submission) { s.Key = strings.Repeat("k", 33) }},
		{"short dossier", "dossier", func(s *Submission) { s.Dossier = "00" }},
		{"upper dossier", "dossier", func(s *Submission) { s.Dossier = Dossier(strings.Repeat("A", 32)) }},
		{"step without dossier", "dossier", func(s *Submission) { s.Dossier = "" }},
		{"huge step", "step", func(s *Submission) { s.Step = MaxSteps + 1 }},
		{"many refs", "refs", func(s *Submission) { s.Refs = make([]merkle.Digest, MaxRefs+1) }},
		{"source system", "source.system", func(s *Submission) { s.Source.System = "erp" }},
		{"source mechanism", "source.mechanism", func(s *Submission) { s.Source.Mechanism = "" }},
		{"source environment", "source.environment", func(s *Submission) { s.Source.Environment = "prod" }},
		{"zero time", "captured_at", func(s *Submission) { s.CapturedAt = time.Time{} }},
		{"far time", "captured_at", func(s *Submission) { s.CapturedAt = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"huge size", "size", func(s *Submission) { n := uint64(1 << 53); s.Size = &n }},
	}
	for _, tt := range tests {
		s := sample(ContractFinal)
		tt.change(s)
		wantField(t, s, tt.name, tt.field)
	}
	for _, k := range []Kind{IdentityPerson, IdentityCompany, SigningIntent} {
		s := sample(k)
		s.Method = "retina"
		wantField(t, s, string(k)+" method", "method")
	}
}

func TestRecordKeepsSubmissionBytes(t *testing.T) {
	sub, err := sample(SigningIntent).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	in := Intake{Index: 4, Node: "court-a", ReceivedAt: testTime, Statement: merkle.Sum([]byte("st"))}
	raw := AppendRecord(nil, in, sub)
	r, err := ParseRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.SubmissionBytes, sub) || r.Intake != in || r.Pair() != PairOf(sub) || r.ID() != IDOf(PairOf(sub)) {
		t.Errorf("record came back as %+v", r)
	}
	again, err := r.Marshal()
	if err != nil || !bytes.Equal(again, raw) {
		t.Errorf("changed by a round trip: %v", err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if r2, err := ParseRecord(bad); err == nil {
			if again, err := r2.Marshal(); err != nil || !bytes.Equal(again, bad) {
				t.Fatalf("flipping byte %d: parsed, but not canonical", i)
			}
		}
	}
}

func newTestRequest(t testing.TB, n int) (*Request, *gm.PrivateKey) {
	t.Helper()
	k := testKey(t, gm.SM2)
	subs := make([]*Submission, n)
	for i := range subs {
		subs[i] = sample(Kinds[i%len(Kinds)])
		subs[i].Nonce[15] = byte(i)
		subs[i].Nonce[14] = byte(i >> 8)
	}
	r, err := NewRequest(testChain, subs, testTime, k)
	if err != nil {
		t.Fatal(err)
	}
	return r, k
}

func TestRequest(t *testing.T) {
	for _, n := range []int{1, 2, 10, MaxSubmissions} {
		r, k := newTestRequest(t, n)
		if err := r.Statement.Signed.Verify(testChain, k.Public()); err != nil {
			t.Errorf("%d: %v", n, err)
		}
		if err := r.Statement.Signed.Verify("other-00c0ffee", k.Public()); !errors.Is(err, gm.ErrSignature) {
			t.Errorf("%d: verified for another chain: %v", n, err)
		}
		if want, err := jcs.Transform(r.Raw); err != nil || !bytes.Equal(want, r.Raw) {
			t.Errorf("%d: not RFC 8785", n)
		}
	}
}

func TestRequestRefusals(t *testing.T) {
	r, k := newTestRequest(t, 3)
	raw := string(r.Raw)
	sub := func(i int) string { return string(r.Submissions[i].Bytes) }
	resign := func(change func(st *Statement), subs ...string) string {
		st := *r.Statement
		change(&st)
		signed, err := st.Sign(testChain, k)
		if err != nil {
			t.Fatal(err)
		}
		return `{"statement":` + string(signed) + `,"submissions":[` + strings.Join(subs, ",") + `]}`
	}
	other := sample(ContractFinal)
	other.Submitter = "vendor-b"
	foreign, _ := other.Marshal()
	otherKey := sample(ContractFinal)
	otherKey.Key = "crm-2"
	wrongKey, _ := otherKey.Marshal()
	tests := []struct{ name, body, field string }{
		{"count", resign(func(st *Statement) { st.Count = 2 }, sub(0), sub(1), sub(2)), "statement.body.count"},
		{"dropped", resign(func(st *Statement) { st.Count = 2 }, sub(0), sub(1)), "statement.body.root"},
		{"order", resign(func(*Statement) {}, sub(1), sub(0), sub(2)), "statement.body.root"},
		{"duplicate", resign(func(*Statement) {}, sub(0), sub(1), sub(0)), "submissions[2]"},
		{"foreign submitter", resign(func(*Statement) {}, sub(0), string(foreign), sub(2)), "submissions[1].submitter"},
		{"foreign key", resign(func(*Statement) {}, sub(0), sub(1), string(wrongKey)), "submissions[2].key"},
		{"none", resign(func(*Statement) {}), "submissions"},
		{"bad statement type", strings.Replace(raw, `"type":"statement"`, `"type":"receipt"`, 1), "statement.type"},
		{"unknown field in submission", strings.Replace(raw, `"v":1}]}`, `"v":1,"x":1}]}`, 1), "submissions[2]"},
		{"version", strings.Replace(raw, `"v":1}]}`, `"v":2}]}`, 1), "submissions[2].v"},
		{"statement field", strings.Replace(raw, `"count":3`, `"count":0`, 1), "statement.body.count"},
	}
	for _, tt := range tests {
		_, err := ParseRequest([]byte(tt.body))
		var syn *canon.SyntaxError
		if !errors.As(err, &syn) || syn.Field != tt.field {
			t.Errorf("%s: error %v, want one of field %q", tt.name, err, tt.field)
		}
	}
	if _, err := ParseRequest(bytes.Repeat([]byte(" "), MaxRequestBytes+1)); err == nil {
		t.Error("an over-long body was taken")
	}
	many := make([]*Submission, MaxSubmissions+1)
	if _, err := NewRequest(testChain, many, testTime, k); err == nil {
		t.Error("1,001 submissions were taken")
	}
}

// signedSamples returns one signed object of each type with the key it verifies
// under.
func signedSamples(t testing.TB) map[Type]struct {
	raw   []byte
	key   gm.PublicKey
	chain string
	parse func([]byte) error
} {
	k := testKey(t, gm.SM2)
	must := func(raw []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	root := merkle.Sum([]byte("root"))
	st := &Statement{Count: 2, Key: "k", Root: root, SignedAt: testTime, Submitter: "vendor-a"}
	b := &Batch{FirstReceivedAt: testTime, LastReceivedAt: testTime.Add(time.Second), Node: "vendor-a", RegistrySize: 2, Seq: 9,
		Streams: map[Stream]StreamRoot{Contract: {1, root}, Signing: {5, root}}}
	ke := &KeyEntry{Action: Register, Key: "crm-1", Member: "vendor-a", PublicKey: testKey(t, gm.Ed25519).Public(), Purpose: Submit, SignedAt: testTime}
	rc := &ReceiptHead{Count: 3, Deadline: testTime.Add(24 * time.Hour), Node: "vendor-a", ReceivedAt: testTime, Root: root,
		Sealed: Head{merkle.EmptyRoot(), 0}, Seq: 9}
	type s = struct {
		raw   []byte
		key   gm.PublicKey
		chain string
		parse func([]byte) error
	}
	card, admin := testCard(t, "vendor-a", checkpoint.Vendor, 1)
	return map[Type]s{
		TypeStatement: {must(st.Sign(testChain, k)), k.Public(), testChain, func(b []byte) error { _, err := ParseStatement(b); return err }},
		TypeBatch:     {must(b.Sign(testChain, k)), k.Public(), testChain, func(b []byte) error { _, err := ParseBatch(b); return err }},
		TypeKey:       {must(ke.Sign(testChain, k)), k.Public(), testChain, func(b []byte) error { _, err := ParseKeyEntry(b); return err }},
		TypeReceipt:   {must(rc.Sign(testChain, k)), k.Public(), testChain, func(b []byte) error { _, err := ParseReceiptHead(b); return err }},
		TypeCard:      {card.Signed.Raw, admin.Public(), NoChain, func(b []byte) error { _, err := ParseCard(b); return err }},
	}
}

func TestSignedObjectsAreApart(t *testing.T) {
	samples := signedSamples(t)
	for typ, s := range samples {
		if PeekType(s.raw) != typ {
			t.Errorf("%s: peeked as %q", typ, PeekType(s.raw))
		}
		if want, err := jcs.Transform(s.raw); err != nil || !bytes.Equal(want, s.raw) {
			t.Errorf("%s: not RFC 8785", typ)
		}
		signed, err := ParseSigned(s.raw, typ, MaxTxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := signed.Verify(s.chain, s.key); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		for other := range samples {
			forged := *signed
			forged.Type = other
			if err := forged.Verify(s.chain, s.key); (err == nil) != (other == typ) {
				t.Errorf("a signature of %s as %s: %v", typ, other, err)
			}
			if err := samples[other].parse(s.raw); (err == nil) != (other == typ) {
				t.Errorf("%s parsed as %s: %v", typ, other, err)
			}
		}
		if err := signed.Verify("else-00c0ffee", s.key); !errors.Is(err, gm.ErrSignature) {
			t.Errorf("%s for another chain: %v", typ, err)
		}
		for i := range s.raw {
			bad := bytes.Clone(s.raw)
			bad[i] ^= 2
			p, err := ParseSigned(bad, typ, MaxTxBytes)
			if err == nil && p.Verify(s.chain, s.key) == nil {
				t.Fatalf("%s: verifies with byte %d flipped", typ, i)
			}
		}
	}
}

func testCard(t testing.TB, id string, role checkpoint.Role, port int) (*Card, *gm.PrivateKey) {
	t.Helper()
	admin := testKey(t, gm.SM2)
	node := merkle.Sum([]byte(id))
	c := &Card{Admin: admin.Public(), Consensus: testKey(t, gm.Ed25519).Public(), ID: id, Intake: testKey(t, gm.SM2).Public(),
		Log: testKey(t, gm.Ed25519).Public(), Name: "第一公证处 " + id, NodeID: hex.EncodeToString(node.SHA256[:20]),
		Peer: fmt.Sprintf("127.0.0.1:%d", port), API: "http://127.0.0.1:8100", Role: role,
		SealEd25519: testKey(t, gm.Ed25519).Public(), SealSM2: testKey(t, gm.SM2).Public()}
	raw, err := c.Sign(admin)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseCard(raw)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, admin
}

func testGenesis(t testing.TB) *Genesis {
	g := &Genesis{CreatedAt: testTime, Name: "test", Quorum: checkpoint.Quorum{Members: 3, NeutralRoles: 2}}
	for i, m := range []struct {
		id   string
		role checkpoint.Role
	}{{"arbitration-a", checkpoint.Arbitration}, {"court-a", checkpoint.Court}, {"notary-a", checkpoint.Notary}, {"vendor-a", checkpoint.Vendor}} {
		c, _ := testCard(t, m.id, m.role, 8110+i)
		g.Cards = append(g.Cards, c)
	}
	return g
}

func TestGenesis(t *testing.T) {
	g := testGenesis(t)
	raw, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseGenesis(raw)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Marshal()
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("changed by a round trip: %v", err)
	}
	sum := gm.SM3(raw)
	if want := "test-" + hex.EncodeToString(sum[:4]); back.ChainID() != want {
		t.Errorf("chain id %s, want %s", back.ChainID(), want)
	}
	if err := checkpoint.CheckChainID(back.ChainID()); err != nil {
		t.Error(err)
	}
	bad := map[string]func(*Genesis){
		"no cards":        func(g *Genesis) { g.Cards = nil },
		"unsorted":        func(g *Genesis) { g.Cards[0], g.Cards[1] = g.Cards[1], g.Cards[0] },
		"same card twice": func(g *Genesis) { g.Cards[1] = g.Cards[0] },
		"name":            func(g *Genesis) { g.Name = "Test" },
		"vendors alone":   func(g *Genesis) { g.Quorum.NeutralRoles = 0 },
		"two thirds":      func(g *Genesis) { g.Quorum.Members = 2 },
		"unreachable":     func(g *Genesis) { g.Quorum.Members = 5 },
		"shared key": func(g *Genesis) {
			c := *g.Cards[1]
			c.SealSM2 = g.Cards[0].SealSM2
			admin := testKey(t, gm.SM2)
			c.Admin = admin.Public()
			raw, err := c.Sign(admin)
			if err != nil {
				t.Fatal(err)
			}
			g.Cards[1], _ = ParseCard(raw)
		},
	}
	for name, change := range bad {
		h := testGenesis(t)
		change(h)
		if _, err := h.Marshal(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// One flipped byte anywhere is refused, or changes the chain id: the cards'
	// signatures do not cover the frame around them.
	for i := range raw {
		flipped := bytes.Clone(raw)
		flipped[i] ^= 1
		if h, err := ParseGenesis(flipped); err == nil && h.ChainID() == back.ChainID() {
			t.Fatalf("byte %d flipped without effect", i)
		}
	}
}

func TestCardRefusals(t *testing.T) {
	for name, change := range map[string]func(*Card){
		"peer without port": func(c *Card) { c.Peer = "127.0.0.1" },
		"peer port 0":       func(c *Card) { c.Peer = "127.0.0.1:0" },
		"peer with path":    func(c *Card) { c.Peer = "127.0.0.1:1/x" },
		"peer with user":    func(c *Card) { c.Peer = "u@127.0.0.1:1" },
		"peer no host":      func(c *Card) { c.Peer = ":8110" },
		"api":               func(c *Card) { c.API = "ftp://x" },
		"name empty":        func(c *Card) { c.Name = "" },
		"name bidi":         func(c *Card) { c.Name = "a\u202eb" },
		"role":              func(c *Card) { c.Role = "judge" },
		"node id":           func(c *Card) { c.NodeID = "00" },
		"algorithm":         func(c *Card) { c.SealSM2 = c.Log },
	} {
		card, admin := testCard(t, "court-a", checkpoint.Court, 1)
		change(card)
		if _, err := card.Sign(admin); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	card, _ := testCard(t, "court-a", checkpoint.Court, 1)
	if _, err := card.Sign(testKey(t, gm.SM2)); !errors.Is(err, gm.ErrSignature) {
		t.Errorf("a card signed by another key: %v", err)
	}
}

func TestClaims(t *testing.T) {
	cs := NewClaims([]string{"name", "id_number"}, []string{"张三", "110101199003070000"})
	raw, err := cs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseClaims(append([]byte("\n "), raw...))
	if err != nil || back.Root() != cs.Root() {
		t.Errorf("claims came back as %+v, %v", back, err)
	}
	if other := NewClaims([]string{"name", "id_number"}, []string{"张三", "110101199003070000"}); other.Root() == cs.Root() {
		t.Error("two saltings of one claim have one root")
	}
	for name, s := range map[string]string{
		"twice":     `{"claims":[{"name":"a","salt":"` + strings.Repeat("0", 32) + `","value":"1"},{"name":"a","salt":"` + strings.Repeat("1", 32) + `","value":"2"}],"type":"qifeng-claims","v":1}`,
		"none":      `{"claims":[],"type":"qifeng-claims","v":1}`,
		"no salt":   `{"claims":[{"name":"a","value":"1"}],"type":"qifeng-claims","v":1}`,
		"flat":      `{"name":"张三"}`,
		"type":      `{"claims":[{"name":"a","salt":"` + strings.Repeat("0", 32) + `","value":"1"}],"type":"claims","v":1}`,
		"salt size": `{"claims":[{"name":"a","salt":"00","value":"1"}],"type":"qifeng-claims","v":1}`,
	} {
		if _, err := ParseClaims([]byte(s)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestSignedRefusals(t *testing.T) {
	k := testKey(t, gm.SM2)
	root := merkle.Sum([]byte("x"))
	batch := func(change func(*Batch)) error {
		b := &Batch{FirstReceivedAt: testTime, LastReceivedAt: testTime, Node: "court-a", RegistrySize: 1, Seq: 1,
			Streams: map[Stream]StreamRoot{Contract: {1, root}}}
		change(b)
		_, err := b.Sign(testChain, k)
		return err
	}
	key := func(change func(*KeyEntry)) error {
		e := &KeyEntry{Action: Register, Key: "k", Member: "court-a", PublicKey: k.Public(), Purpose: Read, SignedAt: testTime}
		change(e)
		_, err := e.Sign(testChain, k)
		return err
	}
	receipt := func(change func(*ReceiptHead)) error {
		r := &ReceiptHead{Count: 1, Deadline: testTime, Node: "court-a", ReceivedAt: testTime, Root: root, Seq: 1}
		change(r)
		_, err := r.Sign(testChain, k)
		return err
	}
	if err := errors.Join(batch(func(*Batch) {}), key(func(*KeyEntry) {}), receipt(func(*ReceiptHead) {})); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"batch without streams":     batch(func(b *Batch) { b.Streams = nil }),
		"batch stream count":        batch(func(b *Batch) { b.Streams[Contract] = StreamRoot{0, root} }),
		"batch huge stream":         batch(func(b *Batch) { b.Streams[Contract] = StreamRoot{MaxBatchRecords + 1, root} }),
		"batch times":               batch(func(b *Batch) { b.FirstReceivedAt = testTime.Add(time.Hour) }),
		"batch seq":                 batch(func(b *Batch) { b.Seq = 0 }),
		"batch registry":            batch(func(b *Batch) { b.RegistrySize = 0 }),
		"key without public key":    key(func(e *KeyEntry) { e.PublicKey = gm.PublicKey{} }),
		"key without purpose":       key(func(e *KeyEntry) { e.Purpose = "" }),
		"key purpose":               key(func(e *KeyEntry) { e.Purpose = "admin" }),
		"revocation with key":       key(func(e *KeyEntry) { e.Action = Revoke }),
		"receipt deadline before":   receipt(func(r *ReceiptHead) { r.Deadline = testTime.Add(-time.Second) }),
		"receipt deadline too late": receipt(func(r *ReceiptHead) { r.Deadline = testTime.Add(MaxDeadline + time.Second) }),
		"receipt count":             receipt(func(r *ReceiptHead) { r.Count = 0 }),
	} {
		var syn *canon.SyntaxError
		if !errors.As(err, &syn) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := key(func(e *KeyEntry) { e.Action, e.PublicKey, e.Purpose = Revoke, gm.PublicKey{}, "" }); err != nil {
		t.Errorf("revocation: %v", err)
	}
}
