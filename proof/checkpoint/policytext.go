package checkpoint

import (
	"encoding/hex"
	"fmt"
	"strings"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

const policyHeader = "qifeng-policy/v1"

// ParsePolicy reads the text that Marshal writes, with blank lines and lines
// beginning with # anywhere between. Everything else is refused: other orders,
// other spaces, CR, bytes outside printable ASCII, a last line that is not ended.
func ParsePolicy(b []byte) (*Policy, error) {
	r, err := newPolicyReader(b)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	p := r.policy()
	if r.err != nil {
		return nil, fmt.Errorf("reading the policy: line %d: %w", r.line, r.err)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return p, nil
}

// A policyReader hands out the lines that are neither blank nor comments. Its
// first error sticks, and every read after it returns zero values.
type policyReader struct {
	rest string // unread lines, each ended
	line int    // number of the line last read
	cur  string // the line to be read next
	end  bool   // no line is left
	err  error
}

func newPolicyReader(b []byte) (*policyReader, error) {
	if len(b) > MaxPolicy {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxPolicy)
	}
	for i, c := range b {
		if c != '\n' && (c < 0x20 || c > 0x7e) {
			return nil, fmt.Errorf("%w: byte %#02x at offset %d, want printable ASCII and LF", ErrMalformed, c, i)
		}
	}
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("%w: the last line is not ended", ErrMalformed)
	}
	r := &policyReader{rest: string(b)}
	r.advance()
	return r, nil
}

// advance loads the next line that says something.
func (r *policyReader) advance() {
	for r.rest != "" {
		r.cur, r.rest, _ = strings.Cut(r.rest, "\n")
		r.line++
		if r.cur != "" && r.cur[0] != '#' {
			return
		}
	}
	r.cur, r.end = "", true
}

func (r *policyReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
}

// next reports whether the next line begins with this word.
func (r *policyReader) next(word string) bool {
	return r.err == nil && !r.end && (r.cur == word || strings.HasPrefix(r.cur, word+" "))
}

// fields takes the next line, which must be word and n fields after it with
// single spaces between. It always returns n strings.
func (r *policyReader) fields(word string, n int) []string {
	out := make([]string, n)
	if r.err != nil {
		return out
	}
	if !r.next(word) {
		r.fail("want a line %q", word)
		return out
	}
	f := strings.Split(r.cur, " ")
	if len(f) != n+1 {
		r.fail("%q has %d fields, want %d with single spaces", word, len(f)-1, n)
		return out
	}
	copy(out, f[1:])
	return out
}

// done moves on from a line whose fields were taken. It is called after they
// were judged, so that an error names their line.
func (r *policyReader) done() {
	if r.err == nil {
		r.advance()
	}
}

func (r *policyReader) policy() *Policy {
	p := &Policy{}
	r.fields(policyHeader, 0)
	r.done()
	p.Chain = r.fields("chain", 1)[0]
	r.done()
	p.Genesis = r.pair(r.fields("genesis", 2))
	r.done()
	for r.next("epoch") {
		if len(p.Epochs) == MaxEpochs {
			r.fail("more than %d epochs", MaxEpochs)
			break
		}
		p.Epochs = append(p.Epochs, r.epoch())
	}
	if r.err == nil && !r.end {
		r.fail("unknown or misplaced line")
	}
	return p
}

func (r *policyReader) epoch() Epoch {
	var e Epoch
	e.First = r.number(r.fields("epoch", 1)[0])
	r.done()
	f := r.fields("quorum", 3)
	e.Quorum.Members = r.count(f[0])
	of := r.count(f[2])
	if r.err == nil && f[1] != "of" {
		r.fail("want quorum <k> of <n>")
	}
	r.done()
	e.Quorum.NeutralRoles = r.count(r.fields("neutral-roles", 1)[0])
	r.done()
	for r.next("require") {
		if len(e.Quorum.Require) == len(roles) {
			r.fail("more than %d require lines", len(roles))
			return e
		}
		f := r.fields("require", 2)
		e.Quorum.Require = append(e.Quorum.Require, Require{Role: r.role(f[0]), Count: r.count(f[1])})
		r.done()
	}
	for r.next("member") {
		if len(e.Members) == of {
			r.fail("more than the %d members that the quorum line tells", of)
			return e
		}
		e.Members = append(e.Members, r.member())
	}
	if r.err == nil && len(e.Members) != of {
		r.fail("%d members, the quorum line tells %d", len(e.Members), of)
	}
	for r.next("pin") {
		if len(e.Pins) == MaxPins {
			r.fail("more than %d pins", MaxPins)
			return e
		}
		f := r.fields("pin", 3)
		e.Pins = append(e.Pins, Pin{Size: r.number(f[0]), Root: r.pair(f[1:])})
		r.done()
	}
	return e
}

func (r *policyReader) member() Member {
	f := r.fields("member", 2)
	m := Member{ID: f[0], Role: r.role(f[1])}
	r.done()
	m.SealSM2 = r.key(KeySealSM2)
	m.SealEd25519 = r.key(KeySealEd25519)
	m.Log = r.key(KeyLog)
	m.Intake = r.key(KeyIntake)
	m.Admin = r.key(KeyAdmin)
	return m
}

func (r *policyReader) key(kind KeyKind) gm.PublicKey {
	s := r.fields(string(kind), 1)[0]
	if r.err != nil {
		return gm.PublicKey{}
	}
	k, err := gm.ParsePublicKey(s)
	if err != nil {
		r.fail("%s key: %v", kind, err)
		return gm.PublicKey{}
	}
	r.done()
	return k
}

func (r *policyReader) role(s string) Role {
	role, err := ParseRole(s)
	if err != nil && r.err == nil {
		r.err = err
	}
	return role
}

func (r *policyReader) number(s string) uint64 {
	if r.err != nil {
		return 0
	}
	n, err := parseSize(s)
	if err != nil {
		r.err = err
	}
	return n
}

// count reads a number of members or roles.
func (r *policyReader) count(s string) int {
	n := r.number(s)
	if n > MaxMembers {
		r.fail("%d, at most %d", n, MaxMembers)
		return 0
	}
	return int(n)
}

// pair reads the SM3 and the SHA-256 half in hex.
func (r *policyReader) pair(f []string) merkle.Digest {
	return merkle.Digest{SM3: r.hash(f[0]), SHA256: r.hash(f[1])}
}

func (r *policyReader) hash(s string) (h [32]byte) {
	if r.err != nil {
		return h
	}
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(h) || hex.EncodeToString(raw) != s {
		r.fail("a hash is 64 lower-case hex digits")
		return h
	}
	return [32]byte(raw)
}
