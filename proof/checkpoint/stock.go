package checkpoint

import (
	"fmt"
	"strings"
)

// stockGroup is the name of the one group of a stock policy. Upper case keeps
// it apart from member ids, with which it shares a name space.
const stockGroup = "SEALS"

// StockPolicyName is the file name that StockPolicies gives to the policy of
// one epoch and one member's log line.
func StockPolicyName(e *Epoch, member string) string {
	return fmt.Sprintf("%s.epoch-%d.tlog-policy", member, e.First)
}

// StockPolicies writes the trust policy as C2SP tlog-policy, as near as that
// format can tell it: one file per epoch and member, by file name. A stock tool
// asks for all log lines that a policy lists and every member has its own, so
// each file lists one.
func StockPolicies(p *Policy) (map[string][]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("exporting stock policies: %w", err)
	}
	out := make(map[string][]byte)
	for i := range p.Epochs {
		e := &p.Epochs[i]
		for _, m := range e.Members {
			out[StockPolicyName(e, m.ID)] = stockPolicy(p, e, m)
		}
	}
	return out, nil
}

func stockPolicy(p *Policy, e *Epoch, log Member) []byte {
	origin := Origin(p.Chain)
	var b strings.Builder
	fmt.Fprintf(&b, "# C2SP tlog-policy of %s for ledger sizes from %d, with the log line of %s.\n", origin, e.First, log.ID)
	b.WriteString(`# This is an APPROXIMATION of the Qifeng trust policy. A stock tool that follows it
# checks the SHA-256 tree and the Ed25519 seals only: not the SM3 tree, not the SM2
# seals, not the roles of the members, not where this epoch ends, no pinned roots.
# The normative policy is the file that begins with qifeng-policy/v1.
`)
	fmt.Fprintf(&b, "log %s\n", vkey(origin, typeLog, log.Log))
	names := make([]string, 0, len(e.Members))
	for _, m := range e.Members {
		fmt.Fprintf(&b, "witness %s %s\n", m.ID, vkey(m.ID, typeCosignature, m.SealEd25519))
		names = append(names, m.ID)
	}
	fmt.Fprintf(&b, "group %s %d %s\n", stockGroup, e.Quorum.Members, strings.Join(names, " "))
	fmt.Fprintf(&b, "quorum %s\n", stockGroup)
	return []byte(b.String())
}

// StockNote opens a note and writes it again for stock tools: the log line of
// one member, and the Ed25519 cosignatures of the members that count. C2SP
// promises that 16 lines are read, and our full note may have 90. It refuses a
// note whose quorum is not met, because the flat rule of a stock policy could
// accept it all the same.
func StockNote(note []byte, p *Policy, member string) ([]byte, error) {
	s, lines, err := open(note, p, Options{})
	if err != nil {
		return nil, fmt.Errorf("exporting the stock note: %w", err)
	}
	if !s.Met {
		return nil, fmt.Errorf("exporting the stock note: %w: %s", ErrNotSealed, s.Missing)
	}
	m, ok := s.Epoch.Member(member)
	if !ok {
		return nil, fmt.Errorf("exporting the stock note: %w: %q is no member of the epoch", ErrNotSealed, member)
	}
	var log, cosignatures []byte
	want := lineID{s.Origin, keyID(s.Origin, typeLog, m.Log)}
	for _, l := range lines {
		if l.id == want {
			log = l.text
		}
	}
	if log == nil {
		return nil, fmt.Errorf("exporting the stock note: %w: the note has no log line of %s", ErrNotSealed, member)
	}
	for _, seal := range s.Seals {
		m, _ := s.Epoch.Member(seal.Member)
		cosignatures = appendLine(cosignatures, m.ID, keyID(m.ID, typeCosignature, m.SealEd25519), seal.Time, seal.Ed25519)
	}
	return joinNote(s.Body(), log, cosignatures), nil
}
