package proof

import (
	"cmp"
	"math"
	"time"

	"qifeng/evidence/canon"
)

// Bracket says by when a record existed, and how far those who say so are apart.
type Bracket struct {
	NotLaterThan time.Time    // milliseconds, rounded up
	Source       string       // whose word that is: "rfc3161/NAME", "witness/NAME", or "seals"
	Spread       uint64       // milliseconds between the earliest and the latest of all sources' words
	Impossible   []Impossible // orders of times that cannot be; they make no proof false
}

// Impossible is a time of an outside witness that comes before what it covers, by
// more than two honest clocks can be apart.
type Impossible struct {
	Anchor      string // "rfc3161/NAME" or "witness/NAME"
	EarlierThan string // "seal": a seal on its own checkpoint; "received_at"
}

const (
	sourceSeals    = "seals"
	thanSeal       = "seal"
	thanReceivedAt = "received_at"
)

// by is the time by which the witness says that its checkpoint existed: the end
// of what its time may mean. Tokens without an accuracy and witnesses state whole
// seconds.
func (a *AnchorReport) by() time.Time {
	t := after(a.Time, a.Accuracy)
	if a.Accuracy == 0 {
		t = after(a.Time, clockGrain)
	}
	if rest := t.Nanosecond() % int(time.Millisecond); rest != 0 {
		t = t.Add(time.Millisecond - time.Duration(rest))
	}
	return t
}

// after is t plus d, but for the last hours before 2^63 seconds, where it is t: seals
// and witnesses may state any second up to that, and the sum would be of long ago.
func after(t time.Time, d time.Duration) time.Time {
	if t.Unix() > math.MaxInt64-2*int64(time.Hour/time.Second) {
		return t
	}
	return t.Add(d)
}

// before compares times of that size too, which the library counts from the year 1
// and so beyond 2^63.
func before(a, b time.Time) bool {
	return cmp.Or(cmp.Compare(a.Unix(), b.Unix()), cmp.Compare(a.Nanosecond(), b.Nanosecond())) < 0
}

// bracket weighs the times of the anchors that verified. The strongest source is
// a time-stamp authority, then a witness, then the quorum of seals; among equals
// the earliest, then the first by name.
func (v *verifier) bracket() {
	if len(v.r.Anchors) == 0 || v.r.SealedTime.IsZero() {
		return
	}
	quorum := v.r.quorumTime()
	b := &Bracket{NotLaterThan: quorum, Source: sourceSeals}
	lo, hi := quorum, quorum
	strongest := AnchorKind("")
	for i := range v.r.Anchors {
		a := &v.r.Anchors[i]
		if a.Outcome != StepProved || a.Time.IsZero() {
			continue
		}
		by := a.by()
		if before(by, lo) {
			lo = by
		}
		if before(hi, by) {
			hi = by
		}
		if !v.possible(a, b) {
			continue
		}
		stronger := strongest == "" || strongest == AnchorWitness && a.Kind == AnchorRFC3161
		if stronger || a.Kind == strongest && before(by, b.NotLaterThan) {
			strongest, b.Source, b.NotLaterThan = a.Kind, a.ID(), by
		}
	}
	b.Spread = millisBetween(lo, hi)
	v.r.Bracket = b
}

// possible notes the orders that cannot be, and reports whether the witness can
// have seen the seals that its checkpoint bears. Of one that says it came before a
// record was received, only the node's clock or its own can be wrong; it stays a
// source, for the node's clock decides nothing.
func (v *verifier) possible(a *AnchorReport, b *Bracket) bool {
	latest := after(a.Time, a.Accuracy+clockBound)
	if before(latest, v.f.record.Intake.ReceivedAt) {
		b.Impossible = append(b.Impossible, Impossible{a.ID(), thanReceivedAt})
	}
	if latest.Unix() < a.lastSeal {
		b.Impossible = append(b.Impossible, Impossible{a.ID(), thanSeal})
		return false
	}
	return true
}

// disorder says the orders that cannot be.
func (b *Bracket) disorder() Words {
	var zh, en []string
	for _, d := range b.Impossible {
		if d.EarlierThan == thanSeal {
			zh = append(zh, d.Anchor+" 的时间早于其检查点上的会签 60 秒以上")
			en = append(en, "the time of "+d.Anchor+" is more than 60 s before a seal on its own checkpoint")
		} else {
			zh = append(zh, d.Anchor+" 的时间早于受理时间 60 秒以上")
			en = append(en, "the time of "+d.Anchor+" is more than 60 s before the record was received")
		}
	}
	return Words{joined(zh), joined(en)}
}

// millisBetween is exact up to 2^53-1, and that beyond: seals and witnesses may
// state times that are ages off.
func millisBetween(lo, hi time.Time) uint64 {
	seconds := uint64(hi.Unix()) - uint64(lo.Unix())
	if seconds > canon.MaxInt/1000-1 {
		return canon.MaxInt
	}
	return seconds*1000 + uint64(hi.Nanosecond()/1e6) - uint64(lo.Nanosecond()/1e6)
}
