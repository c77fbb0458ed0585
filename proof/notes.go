package proof

import (
	"sync"

	"qifeng/proof/checkpoint"
)

// openedNote is what opening a note came to.
type openedNote struct {
	sealed *checkpoint.Sealed
	err    error
}

// openNow opens a note under the policy, with both SM2 libraries where asked.
func (v *verifier) openNow(note []byte) openedNote {
	open := v.opt.Open
	if open == nil {
		open = checkpoint.Open
	}
	s, err := open(note, v.p, checkpoint.Options{Second: v.opt.Second})
	return openedNote{s, err}
}

// openWith opens a note once: anchors often share one, and its seals are most of
// the signatures in it.
func (v *verifier) openWith(note []byte) (*checkpoint.Sealed, error) {
	o, ok := v.notes[string(note)]
	if !ok {
		o = v.openNow(note)
		v.keep(note, o)
	}
	return o.sealed, o.err
}

func (v *verifier) keep(note []byte, o openedNote) {
	if v.notes == nil {
		v.notes = map[string]openedNote{}
	}
	v.notes[string(note)] = o
	if o.err == nil && v.opt.Second {
		v.second += len(o.sealed.Seals)
	}
}

// openAhead opens the notes of the file and of the anchors that the roots know at
// the same time: with the second opinion, which is slow, they are nearly all of a
// verification's time. It changes no outcome.
func (v *verifier) openAhead() {
	if !v.opt.Second || v.opt.Open != nil {
		return
	}
	j := anchorJudge{policy: v.p, roots: v.opt.Roots}
	notes := [][]byte{v.f.Checkpoint}
	seen := map[string]bool{string(v.f.Checkpoint): true}
	for _, a := range v.allAnchors() {
		if _, err := j.prover(&a); err == nil && a.check() == nil && !seen[string(a.Checkpoint)] {
			seen[string(a.Checkpoint)] = true
			notes = append(notes, a.Checkpoint)
		}
	}
	if len(notes) == 1 {
		return
	}
	out := make([]openedNote, len(notes))
	var all sync.WaitGroup
	for i := range notes {
		all.Go(func() { out[i] = v.openNow(notes[i]) })
	}
	all.Wait()
	for i := range notes {
		v.keep(notes[i], out[i])
	}
}
