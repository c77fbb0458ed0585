package checkpoint

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"qifeng/internal/gm"
)

// KeyWitness is the word for a witness's line in a [LineError]. It is no word of
// the policy text: a witness is no member.
const KeyWitness KeyKind = "witness"

// Witness is a C2SP witness outside the consortium, whose cosignatures
// (cosignature/v1, type 0x04) may stand in a note beside the members' lines.
// It cosigns the SHA-256 half only: the body that it signs states the SM3 root,
// but nobody there checked the SM3 tree.
type Witness struct {
	Name string // the key name on its signature lines
	Key  gm.PublicKey
}

// ParseWitness reads a verifier key of c2sp.org/signed-note with type 0x04: name,
// key id in 8 lower-case hex digits and base64 of type and key, joined by "+". It
// accepts exactly what String writes; so a key has one spelling in the anchor
// roots.
func ParseWitness(s string) (Witness, error) {
	name, key, err := parseVkey(s, typeCosignature)
	if err != nil {
		return Witness{}, fmt.Errorf("witness key %w", err)
	}
	return Witness{Name: name, Key: key}, nil
}

// parseVkey reads a verifier key of one Ed25519 type, strictly.
func parseVkey(s string, typ []byte) (name string, key gm.PublicKey, err error) {
	if len(s) > maxVkey {
		return "", gm.PublicKey{}, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(s), maxVkey)
	}
	parts := strings.Split(s, "+")
	if len(parts) < 3 {
		return "", gm.PublicKey{}, fmt.Errorf("%w: want a name, a key id and a key, joined by +", ErrMalformed)
	}
	// The base64 may hold a plus, the name may not.
	name, b64 := parts[0], strings.Join(parts[2:], "+")
	if err := checkWitnessName(name); err != nil {
		return "", gm.PublicKey{}, err
	}
	raw, err := decodeBase64(b64)
	if err != nil {
		return "", gm.PublicKey{}, fmt.Errorf("of %s: %w", name, err)
	}
	if !bytes.HasPrefix(raw, typ) {
		return "", gm.PublicKey{}, fmt.Errorf("of %s: %w: not of signature type %x", name, ErrMalformed, typ)
	}
	key, err = gm.NewPublicKey(gm.Ed25519, raw[len(typ):])
	if err != nil {
		return "", gm.PublicKey{}, fmt.Errorf("of %s: %w: %w", name, ErrMalformed, err)
	}
	if vkey(name, typ, key) != s {
		return "", gm.PublicKey{}, fmt.Errorf("of %s: %w: key id %q, want %08x", name, ErrMalformed, parts[1], keyID(name, typ, key))
	}
	return name, key, nil
}

func checkWitnessName(name string) error {
	if len(name) > maxKeyName || !validKeyName(name) {
		return fmt.Errorf("%w: name %q: want 1 to %d bytes of UTF-8 without white space and +", ErrMalformed, name, maxKeyName)
	}
	return nil
}

// String returns the verifier key, which ParseWitness reads.
func (w Witness) String() string { return vkey(w.Name, typeCosignature, w.Key) }

// CheckOutside refuses a witness that is none: one whose key the policy gives to a
// member, in whatever role and epoch. Such a cosignature would say no more than
// the seals say already, and look like more.
func (w Witness) CheckOutside(p *Policy) error {
	for i := range p.Epochs {
		for _, m := range p.Epochs[i].Members {
			for _, k := range m.keys() {
				if k.key == w.Key {
					return fmt.Errorf("%w: the key of witness %s is the %s key of member %s: a witness stands outside the consortium",
						ErrPolicy, w.Name, k.kind, m.ID)
				}
			}
		}
	}
	return nil
}

// Cosign writes the signature line of a witness over a checkpoint body at time
// t. The body is any log's, ours or another's; the caller has checked and
// recorded it before, for what leaves here cannot be taken back.
func (w Witness) Cosign(key gm.Signer, t int64, body []byte) ([]byte, error) {
	if err := checkWitnessName(w.Name); err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	if err := CheckTime(t); err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	if key == nil || w.Key.IsZero() || w.Key.Alg() != gm.Ed25519 || key.Public() != w.Key {
		return nil, fmt.Errorf("cosigning: %w: not the Ed25519 key of witness %s", ErrSeal, w.Name)
	}
	sig, err := key.Sign(signedText(cosignatureV1, t, body))
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	if len(sig) != 64 {
		return nil, fmt.Errorf("cosigning: %w: a signature of %d bytes", ErrSeal, len(sig))
	}
	return appendLine(nil, w.Name, keyID(w.Name, typeCosignature, w.Key), t, [64]byte(sig)), nil
}

// Witnessed returns the time (Unix seconds) of the cosignature of w on a note of
// ours. Nothing else of the note is verified: whether it is sealed is for Open.
//
// Errors: ErrMalformed (no note of ours, or two lines of w), ErrNotSealed (no line
// of w), ErrTampered (*LineError: the line does not verify).
func Witnessed(note []byte, w Witness) (int64, error) {
	t, err := witnessed(note, w)
	if err != nil {
		return 0, fmt.Errorf("the cosignature of witness %s: %w", w.Name, err)
	}
	return t, nil
}

func witnessed(note []byte, w Witness) (int64, error) {
	if w.Key.IsZero() || w.Key.Alg() != gm.Ed25519 {
		return 0, fmt.Errorf("%w: it has no Ed25519 key", ErrPolicy)
	}
	body, lines, err := splitNote(note)
	if err != nil {
		return 0, err
	}
	if _, err := ParseBody(body); err != nil {
		return 0, err
	}
	id := lineID{w.Name, keyID(w.Name, typeCosignature, w.Key)}
	at := slices.IndexFunc(lines, func(l sigLine) bool { return l.id == id })
	if at < 0 {
		return 0, fmt.Errorf("%w: the note has no line of it", ErrNotSealed)
	}
	if slices.ContainsFunc(lines[at+1:], func(l sigLine) bool { return l.id == id }) {
		return 0, errTwice
	}
	t, sig, err := splitCosignature(lines[at].sig)
	if err == nil {
		err = w.Key.Verify(signedText(cosignatureV1, t, body), sig[:])
	}
	if err != nil {
		return 0, &LineError{Line: lines[at].number, Member: w.Name, Key: KeyWitness, Err: err}
	}
	return t, nil
}

// AddLines returns the note with signature lines added at its end; what was there
// stays, byte for byte. A line of a key that has one in the note already is
// refused. Nothing is verified but the form.
func AddLines(note, lines []byte) ([]byte, error) {
	_, old, err := splitNote(note)
	if err != nil {
		return nil, fmt.Errorf("adding signature lines: %w", err)
	}
	if len(lines) == 0 || lines[len(lines)-1] != '\n' {
		return nil, fmt.Errorf("adding signature lines: %w: no line, or the last is not ended", ErrMalformed)
	}
	seen := make(map[lineID]bool, len(old)+1)
	for _, l := range old {
		seen[l.id] = true
	}
	number := len(old)
	for text := range bytes.Lines(lines) {
		// Each line by itself: a blank line among them would end the body elsewhere.
		l, err := parseLine(text)
		if err != nil {
			return nil, fmt.Errorf("adding signature lines: %w", err)
		}
		if seen[l.id] {
			return nil, fmt.Errorf("adding signature lines: key %q: %w", l.id.name, errTwice)
		}
		seen[l.id] = true
		number++
	}
	if number > MaxLines || len(note)+len(lines) > MaxNote {
		return nil, fmt.Errorf("adding signature lines: %w: %d lines of at most %d, %d bytes of at most %d",
			ErrMalformed, number, MaxLines, len(note)+len(lines), MaxNote)
	}
	return append(slices.Clone(note), lines...), nil
}

// WitnessNote opens a note and writes it again for a witness: the body and the log
// lines of neutral members, at most the [stockLines] that C2SP promises to read. A
// witness knows a log by its keys, one valid line is enough for it, and a line of a
// registered key would let its owner alone have any root cosigned; so no vendor's
// key is registered there and no vendor's line is sent. It refuses a note that is
// false or not sealed.
func WitnessNote(note []byte, p *Policy) ([]byte, error) {
	s, lines, err := open(note, p, Options{})
	if err != nil {
		return nil, fmt.Errorf("writing the note for a witness: %w", err)
	}
	if !s.Met {
		return nil, fmt.Errorf("writing the note for a witness: %w: %s", ErrNotSealed, s.Missing)
	}
	neutral := *s.Epoch
	neutral.Members = slices.DeleteFunc(slices.Clone(s.Epoch.Members), func(m Member) bool { return !m.Role.Neutral() })
	logs := (&Sealed{Checkpoint: s.Checkpoint, Epoch: &neutral}).logLines(lines, "")
	if len(logs) == 0 {
		return nil, fmt.Errorf("writing the note for a witness: %w: the note has no log line of a neutral member", ErrNotSealed)
	}
	return joinNote(s.Body(), logs[:min(stockLines, len(logs))]...), nil
}

// WitnessLogKeys are the verifier keys (type 0x01) that a witness is asked to
// register for this chain: the log keys of the neutral members of an epoch, in
// order of their ids.
func (p *Policy) WitnessLogKeys(e *Epoch) []string {
	var keys []string
	for _, m := range e.Members {
		if m.Role.Neutral() {
			keys = append(keys, LogKey(Origin(p.Chain), m.Log))
		}
	}
	return keys
}

// LogKey is the verifier key (type 0x01) of a log.
func LogKey(origin string, key gm.PublicKey) string { return vkey(origin, typeLog, key) }

// ParseLogKey reads a verifier key of type 0x01, by which a witness knows a log:
// the name is its origin.
func ParseLogKey(s string) (origin string, key gm.PublicKey, err error) {
	if origin, key, err = parseVkey(s, typeLog); err != nil {
		return "", gm.PublicKey{}, fmt.Errorf("log key %w", err)
	}
	return origin, key, nil
}
