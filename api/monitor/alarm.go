package monitor

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

// Kind is the kind of a contradiction.
type Kind string

// The kinds; see the package comment.
const (
	Fork      Kind = "fork"
	Rewritten Kind = "rewritten"
	Genesis   Kind = "genesis"
	Pin       Kind = "pin"
	Rollback  Kind = "rollback"
	Entries   Kind = "entries"
)

const alarmType = "qifeng-contradiction"

// Alarm is a contradiction with all that shows it. Its file is for people and
// for other monitors; what holds against one member alone, by signatures alone,
// is in [Alarm.Frauds].
type Alarm struct {
	Kind    Kind
	Chain   string
	FoundAt time.Time
	Detail  string // English

	// First is the checkpoint that was known, absent where the policy itself is
	// contradicted; Second the one that contradicts it.
	First, Second []byte

	// Members have sealed both or, of a rollback, sealed the smaller one later.
	Members []string

	Path  []merkle.Digest // given by the node, if any; it does not verify
	Index uint64          // of Entry
	Entry []byte          // that the ledger's rules refuse
}

// Marshal writes the alarm over lines.
func (a *Alarm) Marshal() []byte {
	w := &canon.Writer{}
	w.Object().Key("chain").String(a.Chain).Key("detail").String(a.Detail)
	if a.Entry != nil {
		w.Key("entry").Object().Key("bytes").Hex(a.Entry).Key("index").Int(a.Index).EndObject()
	}
	if a.First != nil {
		w.Key("first").String(string(a.First))
	}
	w.Key("found_at").Time(a.FoundAt).Key("kind").String(string(a.Kind)).Key("members").Array()
	for _, id := range a.Members {
		w.String(id)
	}
	w.EndArray()
	if a.Path != nil {
		w.Key("path").Digests(a.Path)
	}
	w.Key("second").String(string(a.Second)).Key("type").String(alarmType).Key("v").Int(1).EndObject()
	return canon.Indent(w.Bytes(), 1)
}

// Name is a file name for the alarm: the same for the same contradiction.
func (a *Alarm) Name() string {
	sum := merkle.Sum(slices.Concat(a.First, []byte{0}, a.Second, []byte{0}, a.Entry))
	return fmt.Sprintf("qifeng-%s-%s.json", a.Kind, hex.EncodeToString(sum.SM3[:8]))
}

// Frauds are the fraud proofs that the alarm contains: of a fork, one for each
// member that sealed both roots. `qifeng verify` checks them offline.
func (a *Alarm) Frauds() []*proof.Fraud {
	if a.Kind != Fork {
		return nil
	}
	var out []*proof.Fraud
	for _, id := range a.Members {
		out = append(out, &proof.Fraud{Chain: a.Chain, Kind: proof.SplitView, Member: id, First: a.First, Second: a.Second})
	}
	return out
}

// both are the members whose seals count on both checkpoints.
func both(x, y *seen) []string {
	var out []string
	for _, s := range x.Seals {
		for _, t := range y.Seals {
			if s.Member == t.Member {
				out = append(out, s.Member)
			}
		}
	}
	return out
}

// rolledBack are the members that sealed the smaller of two ledgers after the
// larger one, by their own clocks. An honest member's sizes and times never go
// back, whichever of its seals a note shows: its last seal on the smaller ledger
// is not later than its first one on the larger.
func rolledBack(x, y *seen) []string {
	if x.Size > y.Size {
		x, y = y, x
	}
	var out []string
	if x.Size == y.Size {
		return out
	}
	for _, s := range x.Seals {
		for _, t := range y.Seals {
			if s.Member == t.Member && s.Time > t.Time {
				out = append(out, s.Member)
			}
		}
	}
	return out
}
