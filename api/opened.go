package api

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"qifeng/proof/checkpoint"
)

// opened keeps the notes that were opened last and found good: the proofs of all
// records of a batch have one, and its seals are most of the signatures in them.
type opened struct {
	notes *lru.Cache[openedKey, *checkpoint.Sealed]
	from  func([]byte, *checkpoint.Policy, checkpoint.Options) (*checkpoint.Sealed, error) // checkpoint.Open but in tests
}

// openedKey is all that a result depends on.
type openedKey struct {
	note   string
	policy *checkpoint.Policy
	opt    checkpoint.Options
}

func newOpened() *opened {
	notes, err := lru.New[openedKey, *checkpoint.Sealed](keptNotes)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return &opened{notes, checkpoint.Open}
}

// open is checkpoint.Open.
func (o *opened) open(note []byte, p *checkpoint.Policy, opt checkpoint.Options) (*checkpoint.Sealed, error) {
	k := openedKey{string(note), p, opt}
	if s, ok := o.notes.Get(k); ok {
		return s, nil
	}
	s, err := o.from(note, p, opt)
	if err == nil {
		o.notes.Add(k, s)
	}
	return s, err
}
