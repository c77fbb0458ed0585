package vectors

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// scenario is one way from content to a proof. Its functions change one thing
// on the way: everything after them is computed and signed over the change, so
// that exactly one binding is broken. Those named …Raw see signed bytes.
type scenario struct {
	kind        evidence.Kind
	key         gm.Signer // submitter's; nil is the vendor's SM2 key
	under       int       // submissions under the statement
	index       int       // of ours
	together    int       // records under the receipt and in the stream
	place       int       // of ours in both
	streams     []evidence.Stream
	before      int // ledger entries between genesis and key on one side and batch on the other
	after       int // ledger entries after the batch
	lateKey     bool
	seals       []string // nil is all
	receiptOnly bool

	submission   func(*evidence.Submission)
	statement    func(*evidence.Statement)
	statementRaw func([]byte) []byte
	intake       func(*evidence.Intake)
	receipt      func(*evidence.ReceiptHead)
	receiptKey   gm.Signer
	receiptRaw   func([]byte) []byte
	batch        func(*evidence.Batch)
	batchKey     gm.Signer
	batchRaw     func([]byte) []byte
	entry        func(*evidence.KeyEntry)
	entryKey     gm.Signer
	entryRaw     func([]byte) []byte
	sealed       func(*checkpoint.Checkpoint, []checkpoint.Seal)
	note         func([]byte) []byte
	file         func(*proof.File)
	raw          func([]byte) []byte
}

const submitKey = "submit-2026"

// story is what a scenario has made so far.
type story struct {
	w      *world
	s      *scenario
	leaves struct{ submissions, records, ledger []merkle.Digest }
	f      *proof.File
}

// play runs a scenario and returns the bytes of its proof file.
func (w *world) play(s scenario) []byte {
	out := must(w.tell(&s).f.Marshal())
	if s.raw != nil {
		out = s.raw(out)
	}
	return out
}

// tell runs a scenario up to its proof file.
func (w *world) tell(s *scenario) *story {
	y := &story{w: w, s: s, f: &proof.File{Chain: w.chain}}
	if s.key == nil {
		s.key = keyOf(gm.SM2, "vendor-a "+submitKey)
	}
	sub := y.state()
	y.takeIn(sub)
	if !s.receiptOnly {
		y.onLedger()
	}
	if s.file != nil {
		s.file(y.f)
	}
	return y
}

// state makes the submissions and the statement over them.
func (y *story) state() []byte {
	s := y.s
	var ours []byte
	for i := range max(s.under, 1) {
		sub := submissionOf(s.kind, i)
		if i == s.index && s.submission != nil {
			s.submission(sub)
		}
		raw := must(sub.Marshal())
		if i == s.index {
			ours = raw
		}
		y.leaves.submissions = append(y.leaves.submissions, evidence.PairOf(raw))
	}
	st := &evidence.Statement{Count: uint64(max(s.under, 1)), Key: submitKey, Root: merkle.Root(y.leaves.submissions),
		SignedAt: clock(-200 * time.Millisecond), Submitter: "vendor-a"}
	if s.statement != nil {
		s.statement(st)
	}
	raw := must(st.Sign(y.w.chain, s.key))
	y.f.Statement.Signed = change(s.statementRaw, raw)
	y.f.Statement.Path = must(merkle.Inclusion(y.leaves.submissions, uint64(s.index)))
	return ours
}

// takeIn makes the record and its receipt.
func (y *story) takeIn(sub []byte) {
	s := y.s
	in := evidence.Intake{Index: uint64(s.index), Node: "vendor-a", ReceivedAt: clock(0), Statement: merkle.Sum(y.f.Statement.Signed)}
	if s.intake != nil {
		s.intake(&in)
	}
	y.f.Record = evidence.AppendRecord(nil, in, sub)
	for i := range max(s.together, 1) {
		leaf := merkle.LeafHash(fmt.Appendf(nil, "another record %d", i))
		if i == s.place {
			leaf = merkle.LeafHash(y.f.Record)
		}
		y.leaves.records = append(y.leaves.records, leaf)
	}
	head := &evidence.ReceiptHead{Count: uint64(len(y.leaves.records)), Deadline: clock(24 * time.Hour), Node: in.Node,
		ReceivedAt: clock(12 * time.Millisecond), Root: merkle.Root(y.leaves.records),
		Sealed: evidence.Head{Root: merkle.EmptyRoot()}, Seq: 7}
	if s.receipt != nil {
		s.receipt(head)
	}
	key := s.receiptKey
	if key == nil {
		key = y.w.actor("vendor-a").intake
	}
	y.f.Receipt.Head = change(s.receiptRaw, must(head.Sign(y.w.chain, key)))
	y.f.Receipt.Index = uint64(s.place)
	y.f.Receipt.Path = must(merkle.Inclusion(y.leaves.records, uint64(s.place)))
}

// onLedger makes the batch header, the key entry, the ledger and its seals.
func (y *story) onLedger() {
	s := y.s
	keyIndex, batchIndex := uint64(1), uint64(2+s.before)
	if s.lateKey {
		keyIndex = batchIndex + 1
	}
	b := &evidence.Batch{FirstReceivedAt: clock(-time.Millisecond), LastReceivedAt: clock(40 * time.Millisecond), Node: "vendor-a",
		RegistrySize: 2, Seq: 7, Streams: map[evidence.Stream]evidence.StreamRoot{}}
	for _, name := range s.streams {
		b.Streams[name] = evidence.StreamRoot{Count: 3, Root: merkle.Sum([]byte("root of stream " + string(name)))}
	}
	b.Streams[s.kind.Stream()] = evidence.StreamRoot{Count: uint64(len(y.leaves.records)), Root: merkle.Root(y.leaves.records)}
	if s.batch != nil {
		s.batch(b)
	}
	key := s.batchKey
	if key == nil {
		key = y.w.actor("vendor-a").intake
	}
	batch := change(s.batchRaw, must(b.Sign(y.w.chain, key)))
	entry := y.keyEntry()

	entries := [][]byte{y.w.genesis}
	for i := uint64(1); i < batchIndex+uint64(s.after)+1; i++ {
		switch i {
		case keyIndex:
			entries = append(entries, entry)
		case batchIndex:
			entries = append(entries, batch)
		default:
			entries = append(entries, y.w.filler(int(i)))
		}
	}
	leaves := make([]merkle.Digest, len(entries))
	for i, e := range entries {
		leaves[i] = merkle.LeafHash(e)
	}
	y.leaves.ledger = leaves
	y.f.Batch = &proof.BatchPart{Entry: batch, Index: batchIndex, Path: must(merkle.Inclusion(leaves, batchIndex)),
		StreamIndex: uint64(s.place), StreamPath: must(merkle.Inclusion(y.leaves.records, uint64(s.place)))}
	y.f.Key = &proof.KeyPart{Entry: entry, Index: keyIndex, Path: must(merkle.Inclusion(leaves, keyIndex))}
	y.seal(checkpoint.Checkpoint{Origin: checkpoint.Origin(y.w.chain), Size: uint64(len(leaves)), Root: merkle.Root(leaves)})
}

func (y *story) keyEntry() []byte {
	s := y.s
	k := &evidence.KeyEntry{Action: evidence.Register, Key: submitKey, Member: "vendor-a", PublicKey: s.key.Public(),
		Purpose: evidence.Submit, SignedAt: clock(-time.Hour)}
	if s.entry != nil {
		s.entry(k)
	}
	key := s.entryKey
	if key == nil {
		key = y.w.actor("vendor-a").admin
	}
	return change(s.entryRaw, must(k.Sign(y.w.chain, key)))
}

func (y *story) seal(c checkpoint.Checkpoint) {
	s := y.s
	ids := s.seals
	if ids == nil {
		for _, a := range y.w.actors {
			ids = append(ids, a.id)
		}
	}
	seals := y.w.seals(c, ids)
	if s.sealed != nil {
		s.sealed(&c, seals)
	}
	y.f.Checkpoint = change(s.note, must(checkpoint.Note(c, seals, &y.w.policy.Epochs[0])))
}

func change(f func([]byte) []byte, b []byte) []byte {
	if f == nil {
		return b
	}
	return f(b)
}

// contract is the content of the contract records.
const contract = "房屋租赁合同（测试）\n甲方：测试公司　乙方：测试个人\n月租金人民币 5000 元，租期一年。\n"

// claimsOf are the facts of a record of one kind; salts are fixed, so that the
// files are.
func claimsOf(kind evidence.Kind) evidence.Claims {
	names := map[evidence.Stream][]string{
		evidence.Identity: {"name", "id_number", "phone"},
		evidence.Signing:  {"action", "page"},
	}[kind.Stream()]
	var cs evidence.Claims
	for i, name := range names {
		salt := sha256.Sum256([]byte(string(kind) + name))
		cs = append(cs, evidence.Claim{Name: name, Salt: [16]byte(salt[:16]), Value: fmt.Sprintf("测试值 %d", i+1)})
	}
	return cs
}

// submissionOf is a valid submission of a kind; n tells several apart.
func submissionOf(kind evidence.Kind, n int) *evidence.Submission {
	nonce := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, n))
	s := &evidence.Submission{CapturedAt: clock(-1500 * time.Millisecond), Key: submitKey, Kind: kind, Nonce: [16]byte(nonce[:16]),
		Source: evidence.Source{Environment: "test", Mechanism: "automatic", System: "vendor_platform"}, Submitter: "vendor-a"}
	pair := func(text string) *merkle.Digest { d := merkle.Sum([]byte(text)); return &d }
	claims := claimsOf(kind).Root()
	switch first, _, _ := strings.Cut(string(kind), "."); first {
	case "contract":
		size := uint64(len(contract))
		s.Digest, s.Size = pair(contract), &size
	case "identity":
		s.Claims, s.Result = &claims, "passed"
	case "signing":
		s.Claims = &claims
		s.Dossier, s.Step = "0123456789abcdef0123456789abcdef", 3
	case "dossier":
		s.Dossier, s.Count, s.Root = "0123456789abcdef0123456789abcdef", 4, pair("the tree of the dossier")
	}
	switch kind {
	case evidence.ContractAttachment:
		s.Size = nil
		s.Refs = []merkle.Digest{*pair("a submission"), *pair("another")}
	case evidence.IdentityPerson:
		s.Method = "biometric"
	case evidence.IdentityCompany:
		s.Method = "licence"
	case evidence.IdentityCertificate:
		s.Algorithm, s.Certificate = "sm2", pair("a certificate")
	case evidence.SigningIntent:
		s.Method, s.Result = "sms_code", "passed"
	case evidence.SigningSignature, evidence.SigningSeal:
		s.Certificate, s.Signature, s.Prev = pair("a certificate"), pair("a signature"), pair("the submission before")
	}
	return s
}
