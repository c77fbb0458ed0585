package monitor

import (
	"errors"
	"fmt"
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

const stateType = "qifeng-monitor"

// State is what a monitor remembers. Who can write its file can make the monitor
// forget.
type State struct {
	Chain  string
	Policy merkle.Digest // of the text of the policy by which Note was judged

	// Note is the largest sealed checkpoint that was shown to continue the one
	// before; ProvedAt is when a node last showed that of its newest one.
	Note     []byte
	ProvedAt time.Time

	// Behind are sealed checkpoints of smaller sizes that no path has connected
	// with Note yet.
	Behind [][]byte
}

var stateFields = canon.Fields("behind", "chain", "note", "policy", "proved_at", "type", "v")

// ParseState reads the form of a state file. Whether its notes hold is for [New].
func ParseState(data []byte) (*State, error) {
	data, err := canon.Canonicalize(data, MaxState)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	s := &State{}
	d := canon.NewDecoder(data)
	for key := range d.Object(stateFields) {
		switch key {
		case "behind":
			for range d.Array(0, maxBehind) {
				s.Behind = append(s.Behind, []byte(d.Text(checkpoint.MaxNote)))
			}
		case "chain":
			s.Chain = d.String(checkpoint.MaxChainID)
		case "note":
			s.Note = []byte(d.Text(checkpoint.MaxNote))
		case "policy":
			s.Policy = d.Digest()
		case "proved_at":
			s.ProvedAt = d.Time()
		case "type":
			d.Enum(stateType)
		case "v":
			d.Int(1, 1)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return s, nil
}

// Marshal writes the state over lines.
func (s *State) Marshal() ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("behind").Array()
	for _, note := range s.Behind {
		w.String(string(note))
	}
	w.EndArray().Key("chain").String(s.Chain).Key("note").String(string(s.Note)).Key("policy").Digest(s.Policy).
		Key("proved_at").Time(s.ProvedAt).Key("type").String(stateType).Key("v").Int(1).EndObject()
	out := canon.Indent(w.Bytes(), 1)
	if _, err := ParseState(out); err != nil {
		return nil, err
	}
	return out, nil
}

// PolicyDigest is the digest by which a state names a policy.
func PolicyDigest(p *checkpoint.Policy) (merkle.Digest, error) {
	text, err := p.Marshal()
	if err != nil {
		return merkle.Digest{}, err
	}
	return merkle.Sum(text), nil
}

// ErrState (Invalid): the state is of another chain, does not hold under the
// policy, or is damaged. A monitor does not begin anew by itself: that would be
// to forget.
var ErrState = errors.New("the monitor's state does not hold")

// seen is a sealed checkpoint that was opened, with its note.
type seen struct {
	note []byte
	*checkpoint.Sealed
}

// reopen judges a stored note by the policy of today.
func (m *Monitor) reopen(note []byte) (*seen, error) {
	s, err := checkpoint.Open(note, m.policy, checkpoint.Options{})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	case !s.Met:
		return nil, fmt.Errorf("%w: a stored checkpoint is not sealed: %s", ErrState, s.Missing)
	}
	return &seen{note, s}, nil
}
