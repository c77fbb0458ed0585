package api

import (
	"bytes"
	"testing"

	"qifeng/proof/checkpoint"
)

// TestOpenedKeepsOnlyWhatIsGood: a note is opened once, and one that differs by a
// byte, or is judged by another policy, is another note.
func TestOpenedKeepsOnlyWhatIsGood(t *testing.T) {
	calls := 0
	o := newOpened()
	o.from = func(note []byte, _ *checkpoint.Policy, _ checkpoint.Options) (*checkpoint.Sealed, error) {
		calls++
		if bytes.HasPrefix(note, []byte("bad")) {
			return nil, checkpoint.ErrSeal
		}
		return &checkpoint.Sealed{}, nil
	}
	p, q := new(checkpoint.Policy), new(checkpoint.Policy)
	first, err := o.open([]byte("good"), p, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		note  string
		p     *checkpoint.Policy
		opt   checkpoint.Options
		calls int
		same  bool
	}{
		{"again", "good", p, checkpoint.Options{}, 1, true},
		{"another byte", "gooD", p, checkpoint.Options{}, 2, false},
		{"another policy", "good", q, checkpoint.Options{}, 3, false},
		{"both libraries", "good", p, checkpoint.Options{Second: true}, 4, false},
		{"bad", "bad", p, checkpoint.Options{}, 5, false},
		{"bad again", "bad", p, checkpoint.Options{}, 6, false},
	} {
		s, err := o.open([]byte(tc.note), tc.p, tc.opt)
		if calls != tc.calls || (s == first) != tc.same || (err != nil) != bytes.HasPrefix([]byte(tc.note), []byte("bad")) {
			t.Errorf("%s: %d calls, the first one's result %t, %v", tc.name, calls, s == first, err)
		}
	}
}
