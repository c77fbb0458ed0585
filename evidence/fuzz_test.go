package evidence

import (
	"bytes"
	"testing"
)

// FuzzParse gives bytes to every parser; what one takes must be canonical: the
// same document written again has the same bytes.
func FuzzParse(f *testing.F) {
	for _, k := range Kinds {
		raw, err := sample(k).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(AppendRecord(nil, Intake{Node: "court-a", ReceivedAt: testTime}, raw))
	}
	for _, s := range signedSamples(f) {
		f.Add(s.raw)
	}
	r, _ := newTestRequest(f, 3)
	f.Add(r.Raw)
	g, err := testGenesis(f).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(g)
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := ParseSubmission(data); err == nil {
			if again, err := s.Marshal(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("submission %q came back as %q, %v", data, again, err)
			}
		}
		if r, err := ParseRecord(data); err == nil {
			if again, err := r.Marshal(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("record %q came back as %q, %v", data, again, err)
			}
		}
		if r, err := ParseRequest(data); err == nil && (len(r.Submissions) == 0 || r.Statement == nil) {
			t.Fatalf("an empty request was taken: %q", data)
		}
		if g, err := ParseGenesis(data); err == nil {
			if again, err := g.Marshal(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("genesis came back changed: %v", err)
			}
		}
		if c, err := ParseClaims(data); err == nil {
			if again, err := c.Marshal(); err != nil {
				t.Fatalf("claims %q: %q, %v", data, again, err)
			}
		}
		for _, parse := range []func([]byte) (*Signed, error){
			func(b []byte) (*Signed, error) {
				x, err := ParseStatement(b)
				return signedOf(x, err, func() *Signed { return x.Signed })
			},
			func(b []byte) (*Signed, error) {
				x, err := ParseBatch(b)
				return signedOf(x, err, func() *Signed { return x.Signed })
			},
			func(b []byte) (*Signed, error) {
				x, err := ParseKeyEntry(b)
				return signedOf(x, err, func() *Signed { return x.Signed })
			},
			func(b []byte) (*Signed, error) {
				x, err := ParseReceiptHead(b)
				return signedOf(x, err, func() *Signed { return x.Signed })
			},
			func(b []byte) (*Signed, error) {
				x, err := ParseCard(b)
				return signedOf(x, err, func() *Signed { return x.Signed })
			},
		} {
			if s, err := parse(data); err == nil && !bytes.Equal(s.Raw, data) {
				t.Fatalf("signed object %q has raw bytes %q", data, s.Raw)
			}
		}
	})
}

func signedOf(_ any, err error, get func() *Signed) (*Signed, error) {
	if err != nil {
		return nil, err
	}
	return get(), nil
}
