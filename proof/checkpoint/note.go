package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const linePrefix = "— "

// Note writes the signed note of a checkpoint: the log lines, then for each
// member its Ed25519 and its SM2 cosignature, members sorted by id. It does not
// verify the seals: they were verified when they were taken in.
func Note(c Checkpoint, seals []Seal, e *Epoch) ([]byte, error) {
	if err := c.checkSealable(); err != nil {
		return nil, fmt.Errorf("writing the note: %w", err)
	}
	if e == nil || len(seals) == 0 {
		return nil, fmt.Errorf("writing the note: %w: a note needs an epoch and a seal", ErrSeal)
	}
	seals = slices.Clone(seals)
	slices.SortFunc(seals, func(a, b Seal) int { return cmp.Compare(a.Member, b.Member) })
	var logs, cosignatures []byte
	for i, s := range seals {
		m, ok := e.Member(s.Member)
		if !ok {
			return nil, fmt.Errorf("writing the note: %w: %q is no member of the epoch", ErrSeal, s.Member)
		}
		if i > 0 && seals[i-1].Member == s.Member {
			return nil, fmt.Errorf("writing the note: %w: two seals of %s", ErrSeal, s.Member)
		}
		if err := CheckTime(s.Time); err != nil {
			return nil, fmt.Errorf("writing the note: seal of %s: %w", s.Member, err)
		}
		if s.HasLog() {
			logs = appendLine(logs, c.Origin, keyID(c.Origin, typeLog, m.Log), 0, s.Log)
		}
		cosignatures = appendLine(cosignatures, m.ID, keyID(m.ID, typeCosignature, m.SealEd25519), s.Time, s.Ed25519)
		cosignatures = appendLine(cosignatures, m.ID, keyID(m.ID, typeSM2, m.SealSM2), s.Time, s.SM2)
	}
	return joinNote(c.Body(), logs, cosignatures), nil
}

func joinNote(body []byte, lines ...[]byte) []byte {
	note := append(slices.Clone(body), '\n')
	return append(note, bytes.Join(lines, nil)...)
}

// appendLine writes one signature line; a time of 0 stands for a log line,
// which has none.
func appendLine(b []byte, name string, id uint32, t int64, sig [64]byte) []byte {
	raw := binary.BigEndian.AppendUint32(make([]byte, 0, 4+8+64), id)
	if t != 0 {
		raw = binary.BigEndian.AppendUint64(raw, uint64(t))
	}
	raw = append(raw, sig[:]...)
	b = append(b, linePrefix...)
	b = append(b, name...)
	b = append(b, ' ')
	b = base64.StdEncoding.AppendEncode(b, raw)
	return append(b, '\n')
}

// A sigLine is one parsed signature line; nothing of it is verified.
type sigLine struct {
	number int // line number in the note, from 1
	id     lineID
	sig    []byte // what follows the key id
	text   []byte // the whole line, ended
}

// splitNote parses a signed note as c2sp.org/signed-note has it, more strictly
// in the base64 alone: one signature has one line.
func splitNote(note []byte) (body []byte, lines []sigLine, err error) {
	if len(note) > MaxNote {
		return nil, nil, fmt.Errorf("%w note: %d bytes, at most %d", ErrMalformed, len(note), MaxNote)
	}
	cut := bytes.LastIndex(note, []byte("\n\n"))
	if cut < 0 {
		return nil, nil, fmt.Errorf("%w note: no blank line before the signatures", ErrMalformed)
	}
	body, rest := note[:cut+1], note[cut+2:]
	if len(rest) == 0 || rest[len(rest)-1] != '\n' {
		return nil, nil, fmt.Errorf("%w note: no signature line, or the last is not ended", ErrMalformed)
	}
	number := bytes.Count(note[:cut+2], []byte("\n"))
	for text := range bytes.Lines(rest) {
		number++
		if len(lines) == MaxLines {
			return nil, nil, fmt.Errorf("%w note: more than %d signature lines", ErrMalformed, MaxLines)
		}
		l, err := parseLine(text)
		if err != nil {
			return nil, nil, fmt.Errorf("note line %d: %w", number, err)
		}
		l.number = number
		lines = append(lines, l)
	}
	return body, lines, nil
}

func parseLine(text []byte) (sigLine, error) {
	s, ok := strings.CutPrefix(strings.TrimSuffix(string(text), "\n"), linePrefix)
	if !ok {
		return sigLine{}, fmt.Errorf("%w: a signature line begins with an em dash and a space", ErrMalformed)
	}
	name, b64, ok := strings.Cut(s, " ")
	if !ok || !validKeyName(name) {
		return sigLine{}, fmt.Errorf("%w: key name %q", ErrMalformed, name)
	}
	raw, err := decodeBase64(b64)
	if err != nil {
		return sigLine{}, err
	}
	if len(raw) < 5 {
		return sigLine{}, fmt.Errorf("%w: a signature of %d bytes", ErrMalformed, len(raw))
	}
	return sigLine{id: lineID{name, binary.BigEndian.Uint32(raw)}, sig: raw[4:], text: text}, nil
}

// validKeyName is the rule of c2sp.org/signed-note. Control characters are not
// allowed anywhere in a note.
func validKeyName(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.IndexFunc(name, func(r rune) bool {
		return r < 0x20 || r == '+' || unicode.IsSpace(r)
	}) < 0
}

// QuorumNote opens a note and writes it again with no more than meets the quorum:
// seals are left out, from the last member on, as long as the rest does, and all
// log lines. It is for those who keep every note that they are given, and judge it
// by the seals. It refuses a note that is false or not sealed.
func QuorumNote(note []byte, p *Policy) ([]byte, error) {
	s, err := Open(note, p, Options{})
	if err != nil {
		return nil, fmt.Errorf("shortening the note: %w", err)
	}
	if !s.Met {
		return nil, fmt.Errorf("shortening the note: %w: %s", ErrNotSealed, s.Missing)
	}
	kept := slices.Clone(s.Seals)
	for i := len(kept) - 1; i >= 0; i-- {
		if less := slices.Delete(slices.Clone(kept), i, i+1); s.Epoch.Quorum.Judge(s.Epoch, less).Met {
			kept = less
		}
	}
	for i := range kept {
		kept[i].Log = [64]byte{}
	}
	return Note(s.Checkpoint, kept, s.Epoch)
}
