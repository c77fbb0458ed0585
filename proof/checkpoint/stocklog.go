package checkpoint

import (
	"bytes"
	"fmt"
)

// stockLines is how many signature lines C2SP signed-note promises that every
// verifier reads.
const stockLines = 16

// StockCheckpoint opens a note and writes it again for the `checkpoint` of a
// C2SP log (c2sp.org/tlog-tiles) that one member serves. After the body stand
// log lines, then the Ed25519 cosignatures of the members that count. Of the log
// lines the member's own comes first, if the note has it; those of the others
// follow in order of their ids as long as no more than [stockLines] lines result,
// so that the stock policy of any member fits at a small consortium. One log line
// there always is, however many cosign.
//
// It refuses what [StockNote] refuses: a false note, and one that is not sealed.
func StockCheckpoint(note []byte, p *Policy, member string) ([]byte, error) {
	s, lines, err := open(note, p, Options{})
	if err != nil {
		return nil, fmt.Errorf("exporting the stock checkpoint: %w", err)
	}
	if !s.Met {
		return nil, fmt.Errorf("exporting the stock checkpoint: %w: %s", ErrNotSealed, s.Missing)
	}
	var cosignatures []byte
	for _, seal := range s.Seals {
		m, _ := s.Epoch.Member(seal.Member)
		cosignatures = appendLine(cosignatures, m.ID, keyID(m.ID, typeCosignature, m.SealEd25519), seal.Time, seal.Ed25519)
	}
	logs := s.logLines(lines, member)
	if len(logs) == 0 {
		return nil, fmt.Errorf("exporting the stock checkpoint: %w: the note has no log line", ErrNotSealed)
	}
	room := max(1, stockLines-len(s.Seals))
	return joinNote(s.Body(), bytes.Join(logs[:min(room, len(logs))], nil), cosignatures), nil
}

// logLines are the members' log lines of an opened note, first's before the others'.
func (s *Sealed) logLines(lines []sigLine, first string) [][]byte {
	texts := make(map[lineID][]byte, len(lines))
	for _, l := range lines {
		texts[l.id] = l.text
	}
	var out [][]byte
	for _, m := range s.Epoch.Members {
		text := texts[lineID{s.Origin, keyID(s.Origin, typeLog, m.Log)}]
		switch {
		case text == nil:
		case m.ID == first:
			out = append([][]byte{text}, out...)
		default:
			out = append(out, text)
		}
	}
	return out
}
