package vectors

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

// vector is one row of the table: what was changed, and by hand what must come
// of it.
type vector struct {
	name      string
	change    string // one sentence for readers of the vectors
	s         scenario
	content   []byte // nil is the right one
	noContent bool
	policy    string // file name in files/policies without ending; empty is trust
	exit      int
	fails     string // the steps that fail, in order
}

// base is the scenario that the broken ones start from: every path is longer
// than nothing and none is symmetric.
func base() scenario {
	return scenario{kind: evidence.ContractFinal, under: 5, index: 2, together: 6, place: 3, before: 3, after: 4,
		streams: []evidence.Stream{evidence.Identity}}
}

func with(edit func(*scenario)) scenario {
	s := base()
	edit(&s)
	return s
}

// contentOf is what the owner of a record holds.
func contentOf(kind evidence.Kind) []byte {
	switch {
	case kind == evidence.DossierClose:
		return nil
	case kind.Stream() == evidence.Contract:
		return []byte(contract)
	}
	return must(claimsOf(kind).Marshal())
}

func table(w *world) []vector {
	return slices.Concat(validVectors(), receiptVectors(), contentVectors(), pathVectors(), submissionVectors(w), nodeVectors(w),
		ledgerVectors(w), keyVectors(w), noteVectors(w), quorumVectors(), chainVectors(w), fileVectors())
}

func validVectors() (out []vector) {
	places := [][2]int{{0, 0}, {0, 1}, {2, 2}, {4, 1}, {7, 3}, {13, 5}, {31, 30}, {68, 29}, {128, 69}, {3, 294}}
	for i, kind := range evidence.Kinds {
		out = append(out, vector{
			name:   "valid-" + strings.ReplaceAll(string(kind), ".", "-"),
			change: "none",
			s: scenario{kind: kind, under: 1 + i, index: i / 2, together: 1 + 3*i, place: 2 * i, before: places[i][0], after: places[i][1],
				streams: evidence.Streams[:i%4%3]},
		})
	}
	out = append(out,
		vector{name: "valid-three-streams", change: "none: the batch has all three streams",
			s: with(func(s *scenario) { s.streams = evidence.Streams })},
		vector{name: "valid-ed25519-submitter", change: "none: the submitter's key is Ed25519",
			s: with(func(s *scenario) { s.key = keyOf(gm.Ed25519, "vendor-a ed25519") })},
		vector{name: "valid-1000-submissions", change: "none: the last of 1000 under one statement",
			s: with(func(s *scenario) { s.under, s.index = 1000, 999 })},
		vector{name: "valid-no-content", change: "no content is given: the step content is not present", s: base(), noContent: true},
		vector{name: "valid-registry-size-is-index", change: "none: the batch was checked against all entries before it",
			s: with(func(s *scenario) { s.batch = func(b *evidence.Batch) { b.RegistrySize = 5 } })},
		vector{name: "valid-dossier-close-with-content", change: "a content is given with a record that has none: the step content is not present",
			s: with(func(s *scenario) { s.kind = evidence.DossierClose }), content: []byte(contract)},
		vector{name: "valid-pinned", change: "the policy pins the root of this size", s: base(), policy: "pinned"},
		vector{name: "valid-second-epoch", change: "the policy's second epoch, by another rule, judges this size", s: base(), policy: "two-epochs"},
		vector{name: "valid-claims-spread-over-lines", change: "the claims file has white space: its root is the same",
			s:       with(func(s *scenario) { s.kind = evidence.SigningIntent }),
			content: []byte(strings.ReplaceAll(string(contentOf(evidence.SigningIntent)), ",", " ,\n\t"))},
	)
	return append(out, timeVectors()...)
}

func timeVectors() []vector {
	captured := func(d time.Duration) scenario {
		return with(func(s *scenario) {
			s.submission = func(sub *evidence.Submission) { sub.CapturedAt = clock(d) }
		})
	}
	// The quorum of three is met 3 s after the records were received.
	received := func(d time.Duration) scenario {
		return with(func(s *scenario) {
			s.intake = func(in *evidence.Intake) { in.ReceivedAt = clock(d) }
			s.receipt = func(r *evidence.ReceiptHead) { r.ReceivedAt = clock(d) }
			s.batch = func(b *evidence.Batch) { b.LastReceivedAt = clock(d) }
		})
	}
	return []vector{
		{name: "times-captured-1s-after", change: "captured_at is 1 s after received_at: within the tolerance", s: captured(time.Second)},
		{name: "times-captured-late", change: "captured_at is 1.001 s after received_at: the step times is not present", s: captured(1001 * time.Millisecond)},
		{name: "times-received-1s-after", change: "received_at is 1 s after the sealed time: within the tolerance", s: received(4 * time.Second)},
		{name: "times-received-late", change: "received_at is 1.001 s after the sealed time: the step times is not present", s: received(4001 * time.Millisecond)},
	}
}

// receiptVectors are files of records that were accepted only.
func receiptVectors() []vector {
	only := func(edit func(*scenario)) scenario {
		return with(func(s *scenario) {
			s.receiptOnly = true
			if edit != nil {
				edit(s)
			}
		})
	}
	return []vector{
		{name: "receipt-only", change: "none: the record was accepted, nothing is sealed", s: only(nil), exit: 3},
		{name: "receipt-only-identity", change: "none: the record was accepted, nothing is sealed",
			s: only(func(s *scenario) { s.kind = evidence.IdentityPerson }), exit: 3},
		{name: "receipt-only-other-content", change: "another content", s: only(nil), content: []byte("another"), exit: 1, fails: "content"},
		{name: "receipt-only-bad-signature", change: "one bit of the receipt's signature",
			s: only(func(s *scenario) { s.receiptRaw = flipSig }), exit: 1, fails: "receipt"},
		{name: "receipt-only-bad-path", change: "the SHA-256 half of a hash of the receipt's path",
			s: only(func(s *scenario) { s.file = func(f *proof.File) { f.Receipt.Path[1].SHA256[0] ^= 1 } }), exit: 1, fails: "receipt"},
		{name: "receipt-only-other-statement", change: "intake.statement is of another statement",
			s: only(func(s *scenario) {
				s.intake = func(in *evidence.Intake) { in.Statement = merkle.Sum([]byte("another")) }
			}), exit: 1, fails: "submission"},
	}
}

func contentVectors() (out []vector) {
	changed := []byte(contract)
	changed[10] ^= 1
	person := with(func(s *scenario) { s.kind = evidence.IdentityPerson })
	claims := claimsOf(evidence.IdentityPerson)
	edited := func(edit func(evidence.Claims)) []byte {
		cs := slices.Clone(claims)
		edit(cs)
		return must(cs.Marshal())
	}
	digest := func(edit func(*merkle.Digest)) scenario {
		return with(func(s *scenario) {
			s.submission = func(sub *evidence.Submission) { edit(sub.Digest) }
		})
	}
	size := uint64(len(contract) + 1)
	for _, v := range []vector{
		{name: "one-bit", change: "one bit of the content", s: base(), content: changed},
		{name: "one-byte-less", change: "the last byte of the content is missing", s: base(), content: []byte(contract[:len(contract)-1])},
		{name: "one-byte-more", change: "a line feed behind the content", s: base(), content: []byte(contract + "\n")},
		{name: "empty", change: "the content is empty", s: base(), content: []byte{}},
		{name: "digest-sm3", change: "the record states another SM3 digest beside the right SHA-256", s: digest(func(d *merkle.Digest) { d.SM3[5] ^= 1 })},
		{name: "digest-sha256", change: "the record states another SHA-256 digest beside the right SM3", s: digest(func(d *merkle.Digest) { d.SHA256[5] ^= 1 })},
		{name: "size", change: "the record states another size beside the right digests",
			s: with(func(s *scenario) { s.submission = func(sub *evidence.Submission) { sub.Size = &size } })},
		{name: "claims-value", change: "one value of the claims file", s: person, content: edited(func(cs evidence.Claims) { cs[1].Value += "0" })},
		{name: "claims-salt", change: "one salt of the claims file", s: person, content: edited(func(cs evidence.Claims) { cs[1].Salt[0] ^= 1 })},
		{name: "claims-order", change: "two claims change places", s: person, content: edited(func(cs evidence.Claims) { cs[0], cs[1] = cs[1], cs[0] })},
		{name: "claims-fewer", change: "the last claim is left out", s: person, content: must(claims[:2].Marshal())},
		{name: "claims-not-a-claims-file", change: "a file that is no claims file", s: person, content: []byte(contract)},
		{name: "claims-unknown-field", change: "an unknown field in the claims file", s: person,
			content: []byte(strings.Replace(string(contentOf(evidence.IdentityPerson)), `"type"`, `"note":"","type"`, 1))},
		{name: "claims-of-another-kind", change: "the claims file of another record", s: person, content: contentOf(evidence.SigningSeal)},
		{name: "claims-root-sha256", change: "the record states another SHA-256 claims root beside the right SM3",
			s: with(func(s *scenario) {
				s.kind = evidence.IdentityPerson
				s.submission = func(sub *evidence.Submission) { sub.Claims.SHA256[0] ^= 1 }
			})},
	} {
		v.name, v.exit, v.fails = "content-"+v.name, 1, "content"
		out = append(out, v)
	}
	return out
}

// pathVectors break each of the five paths in each way.
func pathVectors() (out []vector) {
	for _, p := range []struct {
		step string
		path func(*proof.File) *[]merkle.Digest
	}{
		{"submission", func(f *proof.File) *[]merkle.Digest { return &f.Statement.Path }},
		{"receipt", func(f *proof.File) *[]merkle.Digest { return &f.Receipt.Path }},
		{"stream", func(f *proof.File) *[]merkle.Digest { return &f.Batch.StreamPath }},
		{"ledger", func(f *proof.File) *[]merkle.Digest { return &f.Batch.Path }},
		{"key", func(f *proof.File) *[]merkle.Digest { return &f.Key.Path }},
	} {
		for _, b := range []struct {
			name, change string
			edit         func([]merkle.Digest) []merkle.Digest
		}{
			{"sm3", "the SM3 half of the first hash of the path", func(d []merkle.Digest) []merkle.Digest { d[0].SM3[31] ^= 1; return d }},
			{"sha256", "the SHA-256 half of the last hash of the path", func(d []merkle.Digest) []merkle.Digest { d[len(d)-1].SHA256[0] ^= 1; return d }},
			{"long", "one hash too many at the end of the path", func(d []merkle.Digest) []merkle.Digest { return append(d, d[0]) }},
			{"short", "the last hash of the path is missing", func(d []merkle.Digest) []merkle.Digest { return d[:len(d)-1] }},
			{"empty", "the path is empty", func([]merkle.Digest) []merkle.Digest { return nil }},
			{"order", "the first two hashes of the path change places", func(d []merkle.Digest) []merkle.Digest { d[0], d[1] = d[1], d[0]; return d }},
		} {
			out = append(out, vector{name: "path-" + p.step + "-" + b.name, change: b.change, exit: 1, fails: p.step,
				s: with(func(s *scenario) {
					s.file = func(f *proof.File) { *p.path(f) = b.edit(slices.Clone(*p.path(f))) }
				})})
		}
	}
	return out
}

func submissionVectors(w *world) (out []vector) {
	other := func(edit func(*evidence.Statement)) func(*scenario) {
		return func(s *scenario) { s.statement = edit }
	}
	intake := func(edit func(*evidence.Intake)) func(*scenario) {
		return func(s *scenario) { s.intake = edit }
	}
	for _, v := range []struct {
		name, change, fails string
		edit                func(*scenario)
	}{
		{"statement-pair-sm3", "intake.statement: the SM3 half is another", "submission", intake(func(in *evidence.Intake) { in.Statement.SM3[0] ^= 1 })},
		{"statement-pair-sha256", "intake.statement: the SHA-256 half is another", "submission", intake(func(in *evidence.Intake) { in.Statement.SHA256[0] ^= 1 })},
		{"index", "intake.index is that of another submission", "submission", intake(func(in *evidence.Intake) { in.Index = 1 })},
		{"index-beyond", "intake.index is the statement's count", "submission", intake(func(in *evidence.Intake) { in.Index = 5 })},
		{"statement-root", "the statement is over other submissions", "submission", other(func(st *evidence.Statement) { st.Root = merkle.Sum([]byte("another")) })},
		{"statement-root-sm3", "the statement's root: the SM3 half is another", "submission", other(func(st *evidence.Statement) { st.Root.SM3[0] ^= 1 })},
		{"statement-root-sha256", "the statement's root: the SHA-256 half is another", "submission", other(func(st *evidence.Statement) { st.Root.SHA256[0] ^= 1 })},
		{"statement-count", "the statement counts 9 submissions where there are 5", "submission", other(func(st *evidence.Statement) { st.Count = 9 })},
		{"statement-key-name", "the statement names another key", "submitter", other(func(st *evidence.Statement) { st.Key = "submit-2025" })},
		{"statement-submitter", "the statement names another submitter", "submitter", other(func(st *evidence.Statement) { st.Submitter = "notary-a" })},
		{"statement-signature", "one bit of the statement's signature", "statement", func(s *scenario) { s.statementRaw = flipSig }},
		{"statement-other-chain", "the statement is signed for another chain", "statement", func(s *scenario) {
			s.statementRaw = func(raw []byte) []byte {
				return resign(raw, evidence.TypeStatement, "other-00000000", keyOf(gm.SM2, "vendor-a "+submitKey))
			}
		}},
		{"statement-other-domain", "the statement's body is signed as a receipt", "statement", func(s *scenario) {
			s.statementRaw = func(raw []byte) []byte {
				return resign(raw, evidence.TypeReceipt, w.chain, keyOf(gm.SM2, "vendor-a "+submitKey))
			}
		}},
		{"statement-other-key", "the statement is signed with the submitter's admin key", "statement", func(s *scenario) {
			s.statementRaw = func(raw []byte) []byte {
				return resign(raw, evidence.TypeStatement, w.chain, w.actor("vendor-a").admin)
			}
		}},
		{"statement-other-algorithm", "the statement is signed with an Ed25519 key, the register has an SM2 key", "statement", func(s *scenario) {
			s.statementRaw = func(raw []byte) []byte {
				return resign(raw, evidence.TypeStatement, w.chain, keyOf(gm.Ed25519, "vendor-a ed25519"))
			}
		}},
		{"statement-ed25519-signature", "one bit of the statement's Ed25519 signature", "statement", func(s *scenario) {
			s.key, s.statementRaw = keyOf(gm.Ed25519, "vendor-a ed25519"), flipSig
		}},
		{"statement-signature-zero", "r and s of the statement's signature are 0", "statement", func(s *scenario) {
			s.statementRaw = zeroSig
		}},
	} {
		out = append(out, vector{name: "submission-" + v.name, change: v.change, s: with(v.edit), exit: 1, fails: v.fails})
	}
	return out
}

func zeroSig(raw []byte) []byte {
	at := bytes.Index(raw, []byte(`"sig":"`)) + len(`"sig":"`)
	return slices.Concat(raw[:at], bytes.Repeat([]byte("0"), 128), raw[at+128:])
}
