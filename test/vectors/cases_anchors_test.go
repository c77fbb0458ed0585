package vectors

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/fabric/fabrictest"
	"qifeng/proof/merkle"
	"qifeng/proof/timestamp"
)

// anchorVector is one row of the table: what was changed, and by hand what must
// come of it.
type anchorVector struct {
	name, change string
	exit         int
	says         string // see say
	make         func() anchorInput
}

// anchorMaker makes receipts that outside witnesses would give.
type anchorMaker struct {
	t                 *testing.T
	w                 *world
	y                 *story
	rsa, ecdsa, plain *stamper
	a, b              *cosigner
	raft, bft         *fabrictest.Channel
	kept              map[[32]byte]string
}

// cosigner is a witness with its key.
type cosigner struct {
	proof.NamedWitness
	key gm.Signer
}

func newCosigner(name string, key gm.Signer) *cosigner {
	return &cosigner{proof.NamedWitness{Name: name, Witness: checkpoint.Witness{Name: "witness.example/" + name, Key: key.Public()}}, key}
}

func newAnchorMaker(t *testing.T) *anchorMaker {
	m := &anchorMaker{t: t, w: newWorld("anchors"), kept: map[[32]byte]string{},
		rsa: newStamper(t, "tsa-rsa", "rsa:2048", "secs:1, millisecs:500"), ecdsa: newStamper(t, "tsa-ecdsa", "ec -pkeyopt ec_paramgen_curve:P-256", "secs:1"),
		plain: newStamper(t, "tsa-plain", "ec -pkeyopt ec_paramgen_curve:P-384", ""),
		a:     newCosigner("wit-a", keyOf(gm.Ed25519, "witness a")), b: newCosigner("wit-b", keyOf(gm.Ed25519, "witness b")),
		raft: fabrictest.New(t, false), bft: fabrictest.New(t, true)}
	s := base()
	m.y = m.w.tell(&s)
	return m
}

// keep writes a file that several cases have, once.
func (m *anchorMaker) keep(folder, ending string, b []byte) string {
	id := sha256.Sum256(b)
	if m.kept[id] == "" {
		m.kept[id] = fmt.Sprintf("anchors/%s/%d%s", folder, len(m.kept)+1, ending)
		write(m.kept[id], b)
	}
	return m.kept[id]
}

// later is the ledger with more entries, sealed at and after a time.
func (m *anchorMaker) later(more int, at time.Duration, ids ...string) proof.Anchor {
	leaves := slices.Clone(m.y.leaves.ledger)
	for i := range more {
		leaves = append(leaves, merkle.LeafHash(m.w.filler(100+i)))
	}
	return m.sealed(leaves, at, ids...)
}

func (m *anchorMaker) sealed(leaves []merkle.Digest, at time.Duration, ids ...string) proof.Anchor {
	c := checkpoint.Checkpoint{Origin: checkpoint.Origin(m.w.chain), Size: uint64(len(leaves)), Root: merkle.Root(leaves)}
	if len(ids) == 0 {
		for _, a := range m.w.actors {
			ids = append(ids, a.id)
		}
	}
	var seals []checkpoint.Seal
	for i, id := range ids {
		seals = append(seals, m.w.sealAt(c, id, clock(at+time.Duration(i)*time.Second).Unix()))
	}
	a := proof.Anchor{Checkpoint: must(checkpoint.Note(c, seals, &m.w.policy.Epochs[0]))}
	if from := uint64(len(m.y.leaves.ledger)); from <= c.Size {
		a.Path = must(merkle.ConsistencyAt(from, c.Size, merkle.NewTree(leaves)))
	}
	return a
}

func (s *stamper) on(a proof.Anchor) proof.Anchor {
	a.Kind, a.Name, a.Receipt = proof.AnchorRFC3161, s.Name, s.stamp(a.Checkpoint)
	return a
}

func (c *cosigner) on(a proof.Anchor, at time.Duration) proof.Anchor {
	body, _, _ := bytes.Cut(a.Checkpoint, []byte("\n\n"))
	line := must(c.Witness.Cosign(c.key, clock(at).Unix(), append(body, '\n')))
	a.Kind, a.Name, a.Checkpoint = proof.AnchorWitness, c.Name, must(checkpoint.AddLines(a.Checkpoint, line))
	return a
}

// inFabric has a channel hold the checkpoint; edit may change the receipt.
func (m *anchorMaker) inFabric(name string, ch *fabrictest.Channel, a proof.Anchor, edit func(*fabric.Receipt)) proof.Anchor {
	s := must(checkpoint.Open(a.Checkpoint, m.w.policy, checkpoint.Options{}))
	r := ch.Good(m.t, a.Checkpoint, fabric.Statement{Origin: s.Origin, Size: s.Size, Root: s.Root, Note: merkle.Sum(a.Checkpoint)})
	if edit != nil {
		edit(r)
	}
	a.Kind, a.Name, a.Receipt = proof.AnchorFabric, name, r.Marshal()
	return a
}

func (m *anchorMaker) roots(edit func(*proof.AnchorRoots)) []byte {
	raft, bft := m.raft.Pinned(), m.bft.Pinned()
	raft.Name, bft.Name = "fab-raft", "fab-bft"
	r := &proof.AnchorRoots{Chain: m.w.chain, Fabric: []fabric.Channel{*bft, *raft},
		Timestamps: []timestamp.Authority{m.ecdsa.Authority, m.plain.Authority, m.rsa.Authority},
		Witnesses:  []proof.NamedWitness{m.a.NamedWitness, m.b.NamedWitness}}
	if edit != nil {
		edit(r)
	}
	return must(r.Marshal())
}

func (m *anchorMaker) policy() []byte { return must(m.w.policy.Marshal()) }

// file is the proof with anchors, in their order.
func (m *anchorMaker) file(list ...proof.Anchor) []byte {
	f := *m.y.f
	f.Anchors = slices.Clone(list)
	slices.SortFunc(f.Anchors, func(a, b proof.Anchor) int {
		return strings.Compare(string(a.Kind)+" "+a.Name, string(b.Kind)+" "+b.Name)
	})
	return must(f.Marshal())
}

func (m *anchorMaker) with(list ...proof.Anchor) anchorInput {
	return anchorInput{proof: m.file(list...), policy: m.policy(), roots: m.roots(nil)}
}

func anchorTable(m *anchorMaker) []anchorVector {
	return slices.Concat(validAnchors(m), silentAnchors(m), earlyAnchors(m), falseStamps(m), falsePaths(m), falseWitnesses(m), falseFabric(m), unreadableAnchors(m))
}

func validAnchors(m *anchorMaker) []anchorVector {
	const s = time.Second
	out := []anchorVector{
		{"valid-rsa", "none: an RSA time-stamp over a later checkpoint", 0, "tsa-rsa proved, by rfc3161/tsa-rsa",
			func() anchorInput { return m.with(m.rsa.on(m.later(5, 10*s))) }},
		{"valid-ecdsa", "none: an ECDSA time-stamp over a checkpoint of the proof's size, with other seals", 0, "tsa-ecdsa proved, by rfc3161/tsa-ecdsa",
			func() anchorInput { return m.with(m.ecdsa.on(m.later(0, 10*s))) }},
		{"valid-no-accuracy", "none: the time-stamp states no accuracy", 0, "tsa-plain proved, by rfc3161/tsa-plain",
			func() anchorInput { return m.with(m.plain.on(m.later(1, 10*s))) }},
		{"valid-own-note", "none: the time-stamp is over the proof's own note", 0, "tsa-rsa proved, by rfc3161/tsa-rsa",
			func() anchorInput { return m.with(m.rsa.on(proof.Anchor{Checkpoint: m.y.f.Checkpoint})) }},
		{"valid-two-witnesses", "none: the later-named witness was earlier", 0, "wit-a proved, wit-b proved, by witness/wit-b",
			func() anchorInput { return m.with(m.a.on(m.later(3, 10*s), 20*s), m.b.on(m.later(2, 10*s), 18*s)) }},
		{"valid-raft", "none: a channel with a raft orderer", 0, "fab-raft proved, by seals",
			func() anchorInput { return m.with(m.inFabric("fab-raft", m.raft, m.later(4, 10*s), nil)) }},
		{"valid-bft", "none: a channel with four BFT orderers", 0, "fab-bft proved, by seals",
			func() anchorInput { return m.with(m.inFabric("fab-bft", m.bft, m.later(4, 10*s), nil)) }},
		{"valid-all", "none: an anchor of each kind", 0, "fab-raft proved, tsa-rsa proved, wit-a proved, by rfc3161/tsa-rsa",
			func() anchorInput {
				return m.with(m.inFabric("fab-raft", m.raft, m.later(4, 10*s), nil), m.rsa.on(m.later(5, 10*s)), m.a.on(m.later(6, 10*s), 15*s))
			}},
		{"valid-beside", "none: the companion has one anchor more, and one that the proof has too and that is passed over", 0,
			"tsa-rsa proved, wit-a proved, by rfc3161/tsa-rsa",
			func() anchorInput {
				in := m.with(m.a.on(m.later(3, 10*s), 20*s))
				in.beside = m.beside(m.rsa.on(m.later(5, 10*s)), newCosigner("wit-a", m.b.key).on(m.later(3, 10*s), 0))
				return in
			}},
		{"valid-list", "none: the token carries a list in which its certificate does not stand", 0, "tsa-rsa proved, by rfc3161/tsa-rsa",
			func() anchorInput { return m.with(m.listed(false)) }},
	}
	for _, more := range []int{0, 1, 6, 22, 54} {
		out = append(out, anchorVector{fmt.Sprintf("valid-witness-%d", more), fmt.Sprintf("none: %d entries lie between proof and anchor", more), 0,
			"wit-a proved, by witness/wit-a", func() anchorInput { return m.with(m.a.on(m.later(more, 10*s), 15*s)) }})
	}
	return out
}

func (m *anchorMaker) beside(list ...proof.Anchor) []byte {
	return must((&proof.AnchorFile{Chain: m.w.chain, From: uint64(len(m.y.leaves.ledger)), Anchors: list}).Marshal())
}

func (m *anchorMaker) listed(revoked bool) proof.Anchor {
	a := m.rsa.on(m.later(5, 10*time.Second))
	a.Receipt = must(timestamp.AddLists(a.Receipt, [][]byte{m.rsa.list(revoked)}))
	return a
}

// silentAnchors say nothing, and make nothing false.
func silentAnchors(m *anchorMaker) []anchorVector {
	const s = time.Second
	good := func() proof.Anchor { return m.a.on(m.later(3, 10*s), 15*s) }
	rooted := func(edit func(*proof.AnchorRoots)) func() anchorInput {
		return func() anchorInput {
			in := m.with(good())
			in.roots = m.roots(edit)
			return in
		}
	}
	return []anchorVector{
		{"silent-no-roots", "no anchor roots are given", 0, "wit-a not-present, by seals", func() anchorInput {
			in := m.with(good())
			in.roots = nil
			return in
		}},
		{"silent-unknown", "the roots do not know the name", 0, "wit-a not-present, by seals",
			rooted(func(r *proof.AnchorRoots) { r.Witnesses = r.Witnesses[1:] })},
		{"silent-unknown-kind", "the roots know the name as a time-stamp authority", 0, "wit-a not-present, by seals",
			rooted(func(r *proof.AnchorRoots) {
				r.Witnesses = nil
				r.Timestamps = append(r.Timestamps, timestamp.Authority{Name: "wit-a", Roots: m.rsa.Roots})
			})},
		{"silent-roots-of-another-chain", "the roots are of another chain", 0, "wit-a not-present, by seals",
			rooted(func(r *proof.AnchorRoots) { r.Chain = "other-00000000" })},
		{"silent-one-of-two", "the roots know one of two", 0, "tsa-rsa proved, wit-a not-present, by rfc3161/tsa-rsa", func() anchorInput {
			in := m.with(good(), m.rsa.on(m.later(5, 10*s)))
			in.roots = m.roots(func(r *proof.AnchorRoots) { r.Witnesses = nil })
			return in
		}},
		{"silent-quorum", "two of four members sealed the anchor's checkpoint", 0, "wit-a not-present, by seals",
			func() anchorInput { return m.with(m.a.on(m.later(3, 10*s, "court-a", "notary-a"), 15*s)) }},
		{"silent-member", "the witness's key is a member's log key", 0, "wit-a not-present, by seals", func() anchorInput {
			member := newCosigner("wit-a", m.w.actor("vendor-a").log)
			in := m.with(member.on(m.later(3, 10*s), 15*s))
			in.roots = m.roots(func(r *proof.AnchorRoots) { r.Witnesses[0] = member.NamedWitness })
			return in
		}},
		{"silent-revoked", "the token carries a list by which its certificate was revoked, for a stolen key", 0, "tsa-rsa not-present, by seals",
			func() anchorInput { return m.with(m.listed(true)) }},
		{"silent-checkpoint", "the proof's own note has no blank line: there is nothing to come from", 1, "wit-a not-present", func() anchorInput {
			in := m.with(good())
			f := must(proof.Parse(in.proof))
			f.Checkpoint = bytes.Replace(m.y.f.Checkpoint, []byte("\n\n"), []byte("\n"), 1)
			in.proof = must(f.Marshal())
			return in
		}},
		{"silent-policy-of-another-chain", "the policy is of another chain", 3, "", func() anchorInput {
			in := m.with(good())
			in.policy = must(newWorld("elsewhere").policy.Marshal())
			return in
		}},
	}
}

// earlyAnchors state times at which they cannot have seen what they cover. The
// seals on their checkpoint are dated 10 to 13 s after the record was received.
func earlyAnchors(m *anchorMaker) []anchorVector {
	const s = time.Second
	at := func(seals, witness time.Duration) func() anchorInput {
		return func() anchorInput { return m.with(m.a.on(m.later(3, seals), witness)) }
	}
	return []anchorVector{
		{"early-in-bound", "the witness's time is 60 s before the last seal: within the bound", 0, "wit-a proved, by witness/wit-a", at(10*s, -47*s)},
		{"early-seal", "the witness's time is 61 s before the last seal", 0, "wit-a proved, by seals, witness/wit-a before seal", at(10*s, -48*s)},
		{"early-seal-and-record", "the witness's time is 61 s before the record was received", 0,
			"wit-a proved, by seals, witness/wit-a before received_at, witness/wit-a before seal", at(10*s, -61*s)},
		{"early-record", "the witness's time is 61 s before the record was received, and after the seals", 0,
			"wit-a proved, by witness/wit-a, witness/wit-a before received_at", at(-100*s, -61*s)},
		{"early-one-of-two", "one witness's time is impossible; the other one counts", 0,
			"wit-a proved, wit-b proved, by witness/wit-b, witness/wit-a before seal",
			func() anchorInput { return m.with(m.a.on(m.later(3, 10*s), -50*s), m.b.on(m.later(3, 10*s), 3600*s)) }},
	}
}

func falseStamps(m *anchorMaker) (out []anchorVector) {
	for _, v := range []struct {
		name, change string
		edit         func(*proof.Anchor)
	}{
		{"bit", "one bit of the token's signature", func(a *proof.Anchor) { a.Receipt[len(a.Receipt)-1] ^= 1 }},
		{"time", "one digit of the token's time", func(a *proof.Anchor) {
			at := bytes.Index(a.Receipt, []byte{0x18, 0x13, '2', '0'}) // GeneralizedTime with three decimals
			if at < 0 {
				at = bytes.Index(a.Receipt, []byte("202")) - 2
			}
			a.Receipt[at+2+13] ^= 1
		}},
		{"trailing", "a zero byte behind the token", func(a *proof.Anchor) { a.Receipt = append(a.Receipt, 0) }},
		{"nothing", "the receipt is no token", func(a *proof.Anchor) { a.Receipt = []byte("a receipt") }},
		{"other-note", "the token is of another note", func(a *proof.Anchor) { a.Receipt = m.rsa.stamp(m.later(1, 10*time.Second).Checkpoint) }},
		{"other-authority", "the token is another authority's", func(a *proof.Anchor) { a.Receipt = m.ecdsa.stamp(a.Checkpoint) }},
		{"less-seals", "the note has one seal less than the one that was stamped", func(a *proof.Anchor) {
			a.Checkpoint = signatureLines(func(l []string) []string { return l[:len(l)-2] })(a.Checkpoint)
		}},
		{"seal", "one seal on the note is false", func(a *proof.Anchor) {
			at := len(a.Checkpoint) - 10
			a.Checkpoint = bytes.Clone(a.Checkpoint)
			a.Checkpoint[at] = 'A' + (a.Checkpoint[at]-'A'+1)%26
		}},
		{"other-chain", "the note is of another chain", func(a *proof.Anchor) {
			a.Checkpoint = bytes.Replace(a.Checkpoint, []byte(m.w.chain), []byte("other-00000000"), 1)
		}},
		{"not-a-note", "the note is none", func(a *proof.Anchor) { a.Checkpoint = []byte("a note") }},
	} {
		out = append(out, anchorVector{"stamp-" + v.name, v.change, 1, "tsa-rsa failed, by seals", func() anchorInput {
			a := m.rsa.on(m.later(5, 10*time.Second))
			v.edit(&a)
			return m.with(a)
		}})
	}
	return append(out, anchorVector{"stamp-one-of-two", "one bit of one of two anchors", 1, "tsa-rsa failed, wit-a proved, by witness/wit-a", func() anchorInput {
		a := m.rsa.on(m.later(5, 10*time.Second))
		a.Receipt[len(a.Receipt)-1] ^= 1
		return m.with(a, m.a.on(m.later(5, 10*time.Second), 15*time.Second))
	}})
}

func falsePaths(m *anchorMaker) (out []anchorVector) {
	fork := func(a *proof.Anchor) {
		leaves := slices.Clone(m.y.leaves.ledger)
		leaves[4] = merkle.LeafHash([]byte("another entry"))
		*a = m.sealed(append(leaves, merkle.LeafHash([]byte("one more"))), 10*time.Second)
	}
	for _, v := range []struct {
		name, change string
		edit         func(*proof.Anchor)
	}{
		{"sm3", "the SM3 half of the first hash of the path", func(a *proof.Anchor) { a.Path[0].SM3[31] ^= 1 }},
		{"sha256", "the SHA-256 half of the last hash of the path", func(a *proof.Anchor) { a.Path[len(a.Path)-1].SHA256[0] ^= 1 }},
		{"long", "one hash too many at the end of the path", func(a *proof.Anchor) { a.Path = append(a.Path, a.Path[0]) }},
		{"short", "the last hash of the path is missing", func(a *proof.Anchor) { a.Path = a.Path[:len(a.Path)-1] }},
		{"empty", "the path is empty", func(a *proof.Anchor) { a.Path = nil }},
		{"order", "the first two hashes of the path change places", func(a *proof.Anchor) { a.Path[0], a.Path[1] = a.Path[1], a.Path[0] }},
		{"fork", "the anchor's ledger has another entry in the place of one", fork},
		{"equal-size", "the anchor's ledger has the same size and another root", func(a *proof.Anchor) {
			leaves := slices.Clone(m.y.leaves.ledger)
			leaves[4] = merkle.LeafHash([]byte("another entry"))
			*a = m.sealed(leaves, 10*time.Second)
		}},
		{"earlier", "the anchor's checkpoint is smaller than the proof's", func(a *proof.Anchor) { *a = m.sealed(m.y.leaves.ledger[:8], 0) }},
	} {
		out = append(out, anchorVector{"anchor-path-" + v.name, v.change, 1, "wit-a failed, by seals", func() anchorInput {
			a := m.later(5, 10*time.Second)
			v.edit(&a)
			return m.with(m.a.on(a, 15*time.Second))
		}})
	}
	return out
}

func falseWitnesses(m *anchorMaker) (out []anchorVector) {
	const s = time.Second
	lines := func(edit func([]string) []string) func(*proof.Anchor) {
		return func(a *proof.Anchor) { a.Checkpoint = signatureLines(edit)(a.Checkpoint) }
	}
	for _, v := range []struct {
		name, change string
		edit         func(*proof.Anchor)
	}{
		{"none", "the note has no line of the witness", lines(func(l []string) []string { return l[:len(l)-1] })},
		{"twice", "the note has two lines of the witness", lines(func(l []string) []string { return append(l, l[len(l)-1]) })},
		{"bit", "one bit of the witness's signature", func(a *proof.Anchor) {
			at := len(a.Checkpoint) - 10
			a.Checkpoint[at] = 'A' + (a.Checkpoint[at]-'A'+1)%26
		}},
		{"other-size", "the witness's line is from the checkpoint before", func(a *proof.Anchor) {
			old := m.a.on(m.later(4, 10*s), 15*s).Checkpoint
			lines(func(l []string) []string {
				return append(l[:len(l)-1], string(old[bytes.LastIndexByte(old[:len(old)-1], '\n')+1:len(old)-1]))
			})(a)
		}},
		{"other-key", "the line is by another key, of the same name", func(a *proof.Anchor) {
			*a = newCosigner("wit-a", keyOf(gm.Ed25519, "an imposter")).on(m.later(5, 10*s), 15*s)
		}},
		{"other-witness", "the line is another witness's", func(a *proof.Anchor) {
			*a = m.b.on(m.later(5, 10*s), 15*s)
			a.Name = "wit-a"
		}},
	} {
		out = append(out, anchorVector{"witness-" + v.name, v.change, 1, "wit-a failed, by seals", func() anchorInput {
			a := m.a.on(m.later(5, 10*s), 15*s)
			v.edit(&a)
			return m.with(a)
		}})
	}
	return out
}

func falseFabric(m *anchorMaker) (out []anchorVector) {
	const s = time.Second
	for _, v := range []struct {
		name, change string
		edit         func(*fabric.Receipt)
	}{
		{"code", "the peers invalidated the transaction: MVCC_READ_CONFLICT", func(r *fabric.Receipt) { r.Code = 11 }},
		{"index", "another transaction of the block is said to be ours", func(r *fabric.Receipt) { r.Index = 0 }},
		{"block", "another block number", func(r *fabric.Receipt) { r.Number++ }},
		{"envelope", "one bit of the envelope", func(r *fabric.Receipt) { r.Data[1][len(r.Data[1])/2] ^= 1 }},
		{"read-endorsements", "one endorsement of the read-back is left", func(r *fabric.Receipt) { r.Read.Endorsements = r.Read.Endorsements[:1] }},
		{"read-answer", "one bit of the read-back's answer", func(r *fabric.Receipt) { r.Read.Response[len(r.Read.Response)-1] ^= 1 }},
	} {
		out = append(out, anchorVector{"fabric-" + v.name, v.change, 1, "fab-bft failed, by seals",
			func() anchorInput { return m.with(m.inFabric("fab-bft", m.bft, m.later(5, 10*s), v.edit)) }})
	}
	return append(out,
		anchorVector{"fabric-other-channel", "the receipt is of another channel", 1, "fab-bft failed, by seals",
			func() anchorInput { return m.with(m.inFabric("fab-bft", m.raft, m.later(5, 10*s), nil)) }},
		anchorVector{"fabric-other-state", "the receipt is of another size", 1, "fab-bft failed, by seals", func() anchorInput {
			a := m.inFabric("fab-bft", m.bft, m.later(5, 10*s), nil)
			other := m.later(6, 10*s)
			a.Checkpoint, a.Path = other.Checkpoint, other.Path
			return m.with(a)
		}})
}

// unreadableAnchors are refused: exit code 2.
func unreadableAnchors(m *anchorMaker) (out []anchorVector) {
	const s = time.Second
	text := func(old, new string) func(*anchorInput) {
		return func(in *anchorInput) {
			if !bytes.Contains(in.proof, []byte(old)) {
				panic("nothing to replace: " + old)
			}
			in.proof = bytes.Replace(in.proof, []byte(old), []byte(new), 1)
		}
	}
	roots := func(old, new string) func(*anchorInput) {
		return func(in *anchorInput) { in.roots = bytes.Replace(in.roots, []byte(old), []byte(new), 1) }
	}
	for _, v := range []struct {
		name, change string
		edit         func(*anchorInput)
	}{
		{"order", "two anchors stand in falling order", text(`"name": "wit-a"`, `"name": "wit-c"`)},
		{"twice", "two anchors have one name and kind", text(`"name": "wit-a"`, `"name": "wit-b"`)},
		{"kind", "an unknown kind", text(`"kind": "rfc3161"`, `"kind": "rfc3162"`)},
		{"name", "a name in capitals", text(`"name": "wit-a"`, `"name": "WIT-A"`)},
		{"receipt-of-witness", "a witness with a receipt", text(`"kind": "rfc3161"`, `"kind": "witness"`)},
		{"no-receipt", "a time-stamp without a receipt", func(in *anchorInput) {
			at := bytes.Index(in.proof, []byte(`,
      "receipt": "`))
			end := at + 1 + bytes.IndexByte(in.proof[at+20:], '"') + 20
			in.proof = slices.Concat(in.proof[:at], in.proof[end:])
		}},
		{"empty-receipt", "the receipt is empty", func(in *anchorInput) {
			at := bytes.Index(in.proof, []byte(`"receipt": "`)) + len(`"receipt": "`)
			in.proof = slices.Concat(in.proof[:at], in.proof[at+bytes.IndexByte(in.proof[at:], '"'):])
		}},
		{"base64", "the receipt is in URL-safe base64", text(`"receipt": "`, `"receipt": "-`)},
		{"unknown-field", "an unknown field", text(`"kind": "rfc3161"`, `"kind": "rfc3161", "time": 1`)},
		{"no-path", "an anchor without a path", text(`"path"`, `"paths"`)},
		{"nine", "nine anchors", func(in *anchorInput) {
			f := must(proof.Parse(in.proof))
			note := `{"checkpoint":"x","kind":"witness","name":"wit-%c","path":[]}`
			var list []string
			for i := range 9 {
				list = append(list, fmt.Sprintf(note, 'a'+i))
			}
			f.Anchors = nil
			in.proof = bytes.Replace(must(f.Marshal()), []byte(`"anchors": []`), []byte(`"anchors": [`+strings.Join(list, ",")+`]`), 1)
		}},
		{"receipt-file", "a receipt file with an anchor", func(in *anchorInput) {
			for _, key := range []string{"batch", "checkpoint", "key"} {
				in.proof = without(in.proof, key)
			}
		}},
		{"roots-twice", "the roots have one name for two anchors", roots(`"name": "wit-a"`, `"name": "tsa-rsa"`)},
		{"roots-field", "the roots have an unknown field", roots(`"chain"`, `"chains"`)},
		{"roots-key", "the roots have a witness key with another key id", roots(`witness.example/wit-a+`, `witness.example/wit-z+`)},
		{"roots-policy", "a trust policy is given for the roots", func(in *anchorInput) { in.roots = in.policy }},
		{"beside-size", "the companion's paths begin at another size", func(in *anchorInput) {
			in.beside = must((&proof.AnchorFile{Chain: m.w.chain, From: 9}).Marshal())
		}},
		{"beside-chain", "the companion is of another chain", func(in *anchorInput) {
			in.beside = must((&proof.AnchorFile{Chain: "other-00000000", From: 10}).Marshal())
		}},
		{"beside-proof", "a proof file is given for the companion", func(in *anchorInput) { in.beside = in.proof }},
	} {
		out = append(out, anchorVector{"unreadable-" + v.name, v.change, 2, "", func() anchorInput {
			note := m.later(2, 10*s)
			in := m.with(m.rsa.on(note), m.a.on(note, 15*s), m.b.on(note, 15*s))
			v.edit(&in)
			return in
		}})
	}
	return out
}
