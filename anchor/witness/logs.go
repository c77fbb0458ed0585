package witness

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// Log is a log that this node is a witness of.
type Log struct {
	Origin string
	Keys   []gm.PublicKey // Ed25519; one valid line of any of them is enough
}

// ParseLogs reads a file of logs: one verifier key (c2sp.org/signed-note, type 0x01) a
// line, whose name is the log's origin. Lines of one origin are keys of one log. Blank
// lines and lines that begin with # are skipped. Errors name the line.
func ParseLogs(text []byte) ([]Log, error) {
	if len(text) > maxLogsFile {
		return nil, fmt.Errorf("the file of logs has %d bytes, at most %d", len(text), maxLogsFile)
	}
	byOrigin := make(map[string]*Log)
	number := 0
	for raw := range bytes.Lines(text) {
		number++
		line := strings.TrimRight(string(raw), "\r\n \t")
		if line == "" || line[0] == '#' {
			continue
		}
		origin, key, err := checkpoint.ParseLogKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the file of logs: want a verifier key such as log.example+0123abcd+AQ…: %w", number, err)
		}
		if err := checkOrigin(origin); err != nil {
			return nil, fmt.Errorf("line %d of the file of logs: %w", number, err)
		}
		l := byOrigin[origin]
		if l == nil {
			if len(byOrigin) == maxLogs {
				return nil, fmt.Errorf("line %d of the file of logs: more than %d logs", number, maxLogs)
			}
			l = &Log{Origin: origin}
			byOrigin[origin] = l
		}
		if slices.Contains(l.Keys, key) {
			return nil, fmt.Errorf("line %d of the file of logs: this key of %s is there already", number, origin)
		}
		if len(l.Keys) == maxLogKeys {
			return nil, fmt.Errorf("line %d of the file of logs: more than %d keys of %s", number, maxLogKeys, origin)
		}
		l.Keys = append(l.Keys, key)
	}
	var logs []Log
	for _, l := range byOrigin {
		logs = append(logs, *l)
	}
	slices.SortFunc(logs, func(a, b Log) int { return cmp.Compare(a.Origin, b.Origin) })
	if len(logs) == 0 {
		return nil, fmt.Errorf("the file of logs names no log")
	}
	return logs, nil
}

// checkOrigin accepts printable ASCII. C2SP allows more; whoever reads a log of this
// node or its status can then tell two origins apart.
func checkOrigin(origin string) error {
	if origin == "" || len(origin) > maxOrigin || strings.IndexFunc(origin, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return fmt.Errorf("origin %q: want 1 to %d printable ASCII characters without a space", origin, maxOrigin)
	}
	return nil
}

// outside refuses what would make this node a witness of its own consortium. A
// member's seal says already what its cosignature could say; as a line of a witness
// the same word would count a second time, for an outsider's.
func outside(logs []Log, w checkpoint.Witness, p *checkpoint.Policy) error {
	if err := w.CheckOutside(p); err != nil {
		return err
	}
	for _, l := range logs {
		if l.Origin == checkpoint.Origin(p.Chain) {
			return fmt.Errorf("%s is this node's own chain: a witness stands outside the consortium, and this node's word on it is its seal", l.Origin)
		}
		for _, k := range l.Keys {
			if k == w.Key {
				return fmt.Errorf("the witness key is a key of the log %s: it serves nothing else", l.Origin)
			}
			if err := (checkpoint.Witness{Name: l.Origin, Key: k}).CheckOutside(p); err != nil {
				return fmt.Errorf("a key of the log %s is one of this node's own consortium: a witness stands outside", l.Origin)
			}
		}
	}
	return nil
}
