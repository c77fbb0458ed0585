package vectors

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// without removes a key from the file; encoding/json keeps the rest as it is in
// meaning.
func without(b []byte, key string) []byte {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		panic(err)
	}
	delete(m, key)
	return must(json.Marshal(m))
}

func compact(b []byte) []byte { return must(canon.Canonicalize(b, proof.MaxFileBytes)) }

// edit of a note: its lines from the first signature on.
func signatureLines(f func(lines []string) []string) func([]byte) []byte {
	return func(note []byte) []byte {
		body, rest, _ := strings.Cut(string(note), "\n\n")
		lines := f(strings.Split(strings.TrimSuffix(rest, "\n"), "\n"))
		return []byte(body + "\n\n" + strings.Join(lines, "\n") + "\n")
	}
}

// editLine changes the decoded bytes of the n-th signature line. The lines of a
// note of four members: 0-3 log, then per member Ed25519 and SM2.
func editLine(n int, f func([]byte) []byte) func([]byte) []byte {
	return signatureLines(func(lines []string) []string {
		at := strings.LastIndex(lines[n], " ") + 1
		raw := f(must(base64.StdEncoding.DecodeString(lines[n][at:])))
		lines[n] = lines[n][:at] + base64.StdEncoding.EncodeToString(raw)
		return lines
	})
}

func flipAt(i int) func([]byte) []byte {
	return func(b []byte) []byte { b[i] ^= 1; return b }
}

const (
	lineLog = 0 // of arbitration-a
	lineEd  = 4
	lineSM2 = 5
)

// A note that cannot be opened proves no ledger entry either.
const noteFails = "ledger key checkpoint"

func noteEdit(f func([]byte) []byte) func(*scenario) { return func(s *scenario) { s.note = f } }

func replaceNote(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

// noteVectors break the checkpoint: one false line fails the whole note.
func noteVectors(w *world) []vector {
	origin := checkpoint.Origin(w.chain)
	return append(rows("note-", []row{
		{"log-signature", "one bit of a log line's signature", noteFails, noteEdit(editLine(lineLog, flipAt(20)))},
		{"ed25519-signature", "one bit of an Ed25519 cosignature", noteFails, noteEdit(editLine(lineEd, flipAt(40)))},
		{"sm2-signature", "one bit of an SM2 cosignature", noteFails, noteEdit(editLine(lineSM2, flipAt(40)))},
		{"ed25519-time", "the time of an Ed25519 cosignature is one second later", noteFails, noteEdit(editLine(lineEd, flipAt(11)))},
		{"sm2-time", "the time of an SM2 cosignature is one second later", noteFails, noteEdit(editLine(lineSM2, flipAt(11)))},
		{"sm2-zero", "r of an SM2 cosignature is 0", noteFails, noteEdit(editLine(lineSM2, func(b []byte) []byte {
			return slices.Concat(b[:12], make([]byte, 32), b[44:])
		}))},
		{"sm2-order", "s of an SM2 cosignature is n, the order of the curve", noteFails, noteEdit(editLine(lineSM2, func(b []byte) []byte {
			return append(b[:44], sm2Order...)
		}))},
		{"long-line", "an Ed25519 cosignature with a byte behind it", noteFails, noteEdit(editLine(lineEd, func(b []byte) []byte { return append(b, 0) }))},
		{"time-zero", "an Ed25519 cosignature of time 0", noteFails, func(s *scenario) {
			s.note = func(note []byte) []byte { return timeZero(note, w.actor("arbitration-a")) }
		}},
		{"twice", "a line stands there twice", noteFails, noteEdit(signatureLines(func(l []string) []string { return append(l, l[lineSM2]) }))},
		{"copied", "a true seal of the member on another checkpoint", noteFails, func(s *scenario) {
			s.sealed = func(c *checkpoint.Checkpoint, seals []checkpoint.Seal) {
				other := *c
				other.Size++
				seals[0] = w.sealAt(other, seals[0].Member, seals[0].Time)
			}
		}},
		{"root-sm3", "the SM3 root of the body is another", noteFails, noteEdit(replaceNote("\nsm3 ", "\nsm3 A"))},
		{"size", "the size in the body is another", noteFails, noteEdit(replaceNote("\n10\n", "\n11\n"))},
		{"size-leading-zero", "the size has a leading zero", noteFails, noteEdit(replaceNote("\n10\n", "\n010\n"))},
		{"size-zero", "the size is 0: the policy has no epoch for it", noteFails, noteEdit(replaceNote("\n10\n", "\n0\n"))},
		{"other-chain", "the origin is of another chain", noteFails, noteEdit(replaceNote(origin+"\n", "qifeng/other-00000000\n"))},
		{"no-sm3", "the line of the SM3 root is missing", noteFails, noteEdit(func(b []byte) []byte {
			l := bytes.SplitAfter(b, []byte("\n"))
			return bytes.Join(slices.Delete(l, 3, 4), nil)
		})},
		{"extension", "a further extension line in the body", noteFails, noteEdit(replaceNote("\n\n", "\nx 1\n\n"))},
		{"no-blank-line", "no blank line before the signatures", noteFails, noteEdit(replaceNote("\n\n", "\n"))},
		{"no-signatures", "no signature line", noteFails, noteEdit(func(b []byte) []byte { return b[:bytes.Index(b, []byte("\n\n"))+2] })},
		{"not-ended", "the last line is not ended", noteFails, noteEdit(func(b []byte) []byte { return b[:len(b)-1] })},
		{"hyphen", "a signature line begins with a hyphen", noteFails, noteEdit(signatureLines(func(l []string) []string { l[2] = "-" + strings.TrimPrefix(l[2], "—"); return l }))},
		{"base64-bits", "base64 with unused bits set", noteFails, noteEdit(signatureLines(looseBase64))},
		{"empty", "the note is empty", noteFails, noteEdit(func([]byte) []byte { return []byte{} })},
		{"101-lines", "101 signature lines, 89 of them of unknown keys", noteFails, noteEdit(signatureLines(func(l []string) []string { return unknownLines(l, 89) }))},
	}),
		vector{name: "note-unknown-line", change: "none: a line of an unknown key is ignored",
			s: with(noteEdit(signatureLines(func(l []string) []string { return unknownLines(l, 1) })))},
		vector{name: "note-100-lines", change: "none: 88 lines of unknown keys are ignored",
			s: with(noteEdit(signatureLines(func(l []string) []string { return unknownLines(l, 88) })))},
		vector{name: "note-order", change: "none: the signature lines are in another order",
			s: with(noteEdit(signatureLines(func(l []string) []string { slices.Reverse(l); return l })))},
		vector{name: "note-no-log-line", change: "none: a seal counts without its log line",
			s: with(noteEdit(signatureLines(func(l []string) []string { return l[4:] })))},
		vector{name: "note-pin-sm3", change: "the policy pins another SM3 root at this size", s: base(), policy: "pinned-sm3", exit: 1, fails: noteFails},
		vector{name: "note-pin-sha256", change: "the policy pins another SHA-256 root at this size", s: base(), policy: "pinned-sha256", exit: 1, fails: noteFails},
	)
}

var sm2Order = must(base64.StdEncoding.DecodeString("/////v////////////////////9yA99rIcYFK1O79Ak51UEj"))

// timeZero signs a cosignature of time 0, which says nothing.
func timeZero(note []byte, a *actor) []byte {
	body, _, _ := bytes.Cut(note, []byte("\n\n"))
	msg := append([]byte("cosignature/v1\ntime 0\n"), append(body, '\n')...)
	return editLine(lineEd, func(b []byte) []byte {
		return slices.Concat(b[:4], make([]byte, 8), must(a.ed.Sign(msg)))
	})(note)
}

// unknownLines adds lines of keys that no policy knows, one with a member's name.
func unknownLines(lines []string, n int) []string {
	for i := range n {
		name := "witness.example/w" + fmt.Sprint(i)
		if i == 0 {
			name = "court-a"
		}
		raw := append(binary.BigEndian.AppendUint32(nil, uint32(i)), bytes.Repeat([]byte{7}, 72)...)
		lines = append(lines, "— "+name+" "+base64.StdEncoding.EncodeToString(raw))
	}
	return lines
}

// looseBase64 sets an unused bit of a line whose base64 has some: a log line of
// 68 bytes ends in one padding character.
func looseBase64(l []string) []string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := len(l[0]) - 2
	l[0] = l[0][:at] + string(alphabet[strings.IndexByte(alphabet, l[0][at])|1]) + "="
	return l
}

// quorumVectors: nothing is false, but the given policy does not vouch for it.
func quorumVectors() []vector {
	lines := func(keep func(i int) bool) scenario {
		return with(noteEdit(signatureLines(func(l []string) (out []string) {
			for i, line := range l {
				if keep(i) {
					out = append(out, line)
				}
			}
			return out
		})))
	}
	sealedBy := func(ids ...string) scenario { return with(func(s *scenario) { s.seals = ids }) }
	short := func(name, change, policy string, s scenario) vector {
		return vector{name: "quorum-" + name, change: change, policy: policy, s: s, exit: 3, fails: "quorum"}
	}
	return []vector{
		{name: "quorum-three-of-four", change: "none: three of four members sealed", s: sealedBy("arbitration-a", "court-a", "vendor-a")},
		{name: "quorum-require-met", change: "none: the policy requires a court, and it sealed", s: sealedBy("arbitration-a", "court-a", "vendor-a"), policy: "require-court"},
		{name: "quorum-other-order-of-times", change: "none: the vendor sealed first", s: sealedBy("vendor-a", "notary-a", "court-a", "arbitration-a")},
		{name: "quorum-far-future", change: "none: the vendor's clock shows the year 1141709097; the other three meet the quorum", s: farFuture()},
		short("two-of-four", "two of four members sealed", "", sealedBy("court-a", "vendor-a")),
		short("vendor-alone", "the vendor alone sealed", "", sealedBy("vendor-a")),
		short("four-of-four", "the policy asks for all four, three sealed", "four-of-four", sealedBy("arbitration-a", "court-a", "notary-a")),
		short("one-neutral-role", "three members sealed, all of one role; the policy asks for two neutral roles", "three-courts", sealedBy("arbitration-a", "court-a", "notary-a")),
		short("require-unmet", "the policy requires a court, and it did not seal", "require-court", sealedBy("arbitration-a", "notary-a", "vendor-a")),
		short("require-two", "the policy requires two courts, one sealed", "require-two-courts", sealedBy("court-a", "arbitration-a", "vendor-a")),
		short("no-ed25519", "two members sealed with SM2 only", "", lines(func(i int) bool { return i != 4 && i != 6 })),
		short("no-sm2", "two members sealed with Ed25519 only", "", lines(func(i int) bool { return i != 5 && i != 7 })),
		short("log-lines-only", "there are log lines, and no cosignature", "", lines(func(i int) bool { return i < 4 })),
		short("other-seal-keys", "the policy states other seal keys: all lines are unknown", "other-seal-keys", base()),
		{name: "quorum-times-apart", change: "the two seals of two members carry different times", exit: 3, fails: "quorum",
			s: with(func(s *scenario) { s.note = nil; s.sealed = nil; s.file = apart })},
	}
}

// farFuture has a seal dated 2^55 s after 1970.
func farFuture() scenario {
	return with(func(s *scenario) {
		s.sealed = func(c *checkpoint.Checkpoint, seals []checkpoint.Seal) {
			seals[3] = newWorld("vectors").sealAt(*c, seals[3].Member, 1<<55)
		}
	})
}

// apart gives two members' Ed25519 cosignatures another true time.
func apart(f *proof.File) {
	body, _, _ := bytes.Cut(f.Checkpoint, []byte("\n\n"))
	body = append(body, '\n')
	for i, id := range []string{"arbitration-a", "court-a"} {
		t := clock(0).Unix() + 100
		msg := append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", t), body...)
		sig := must(keyOf(gm.Ed25519, id+" seal-ed25519").Sign(msg))
		f.Checkpoint = editLine(lineEd+2*i, func(b []byte) []byte {
			return slices.Concat(binary.BigEndian.AppendUint64(b[:4:4], uint64(t)), sig)
		})(f.Checkpoint)
	}
}

// chainVectors: proof and policy of different chains.
func chainVectors(w *world) []vector {
	const signatures = "receipt batch ledger key statement checkpoint"
	return []vector{
		{name: "chain-other-policy", change: "the policy of another chain", s: base(), policy: "other-chain", exit: 3, fails: "chain"},
		{name: "chain-field", change: "the file names another chain", exit: 3, fails: "chain",
			s: with(func(s *scenario) { s.file = func(f *proof.File) { f.Chain = "other-00000000" } })},
		{name: "chain-other-policy-other-content", change: "the policy of another chain, and another content", s: base(), policy: "other-chain",
			content: []byte("another"), exit: 1, fails: "chain content"},
		{name: "chain-other-policy-bad-path", change: "the policy of another chain, and a broken path of the statement", policy: "other-chain", exit: 1,
			fails: "chain submission", s: with(func(s *scenario) { s.file = func(f *proof.File) { f.Statement.Path[0].SM3[0] ^= 1 } })},
		{name: "chain-transplanted", change: "the file names the policy's chain, everything in it was signed for another, with the same keys",
			s: with(func(s *scenario) { s.file = func(f *proof.File) { f.Chain = newWorld("other").chain } }), policy: "other-chain",
			exit: 1, fails: signatures},
		{name: "member-not-of-policy", change: "the node is no member of the given policy", policy: "without-vendor", exit: 1, fails: "receipt batch key", s: base()},
		{name: "intake-node-unknown", change: "record, receipt and batch name a node that is no member", exit: 1, fails: "receipt batch",
			s: with(func(s *scenario) {
				s.intake = func(in *evidence.Intake) { in.Node = "nobody" }
				s.batch = func(b *evidence.Batch) { b.Node = "nobody" }
			})},
		{name: "intake-node-other", change: "the record names another node than receipt and batch", exit: 1, fails: "receipt batch",
			s: with(func(s *scenario) {
				s.intake = func(in *evidence.Intake) { in.Node = "notary-a" }
				s.receipt = func(r *evidence.ReceiptHead) { r.Node = "vendor-a" }
			})},
		{name: "policy-refused", change: "a policy whose quorum is two of four", s: base(), policy: "unsound", exit: 2},
		{name: "policy-is-a-proof", change: "the policy file is something else", s: base(), policy: "not-a-policy", exit: 2},
	}
}
