package checkpoint

import (
	"bytes"
	"reflect"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func FuzzParseBody(f *testing.F) {
	f.Add([]byte(goldenBody))
	f.Add([]byte("qifeng/d-00000000\n0\n\nsm3 \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseBody(b)
		if err == nil && !bytes.Equal(c.Body(), b) {
			t.Errorf("%q is read, and written as %q", b, c.Body())
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	text := readTestdata(f, "policy.txt")
	f.Add(text)
	small, err := newConsortium(f, Quorum{Members: 1, NeutralRoles: 1}, "court-a court").policy.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add(append([]byte("# a comment\n\n"), small...))
	f.Add([]byte("qifeng-policy/v1\nchain demo-00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			return
		}
		again, err := p.Marshal()
		if err != nil || !bytes.Equal(again, stripComments(b)) {
			t.Fatalf("written again it differs (%v):\n%s", err, again)
		}
		q, err := ParsePolicy(again)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("read again it differs (%v)", err)
		}
		if _, err := StockPolicies(p); err != nil {
			t.Errorf("no stock policies: %v", err)
		}
	})
}

// FuzzOpen: whatever opens is consistent with itself, and well formed for the
// second implementation.
func FuzzOpen(f *testing.F) {
	c := fourMembers(f)
	f.Add(c.note(f, c.checkpoint(7), "arb-a", "court-a", "notary-a", "vendor-a"))
	f.Add(c.note(f, c.checkpoint(1), "vendor-a"))
	f.Add(readTestdata(f, "note.txt"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Open(b, c.policy, Options{})
		if err != nil {
			if s != nil {
				t.Error("an error and a note")
			}
			return
		}
		if v := s.Epoch.Quorum.Judge(s.Epoch, s.Seals); v.Met != s.Met || v.SealedTime != s.SealedTime || v.Members != s.Members {
			t.Errorf("judged again: %+v, was %+v", v, s.Verdict)
		}
		for _, seal := range s.Seals {
			m, ok := s.Epoch.Member(seal.Member)
			if !ok || seal.HasLog() && m.VerifySeal(s.Checkpoint, seal) != nil {
				t.Errorf("a seal that does not verify: %+v", seal)
			}
		}
		if len(s.Seals) > 0 {
			n, err := Note(s.Checkpoint, s.Seals, s.Epoch)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Open(n, c.policy, Options{}); err != nil || !reflect.DeepEqual(again.Seals, s.Seals) {
				t.Errorf("written again: %v", err)
			}
		}
		// Without known keys, note.Open ends in this one error if it can read the note.
		if _, err := note.Open(b, nil); err != nil {
			if _, ok := err.(*note.UnverifiedNoteError); !ok {
				t.Errorf("x/mod refuses the form: %v", err)
			}
		}
	})
}
