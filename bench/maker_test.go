package bench

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

func submitter(t testing.TB) Submitter {
	t.Helper()
	key, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	return Submitter{Chain: "dev-00000000", Member: "vendor-a", Key: "submit", Signer: key}
}

// TestMaker: what is made is, byte for byte, what package evidence makes of the
// same content, is signed, never repeats anything that must not repeat, and
// keeps sessions together.
func TestMaker(t *testing.T) {
	for _, records := range []int{1, 2, 4, 5, 7, 100, evidence.MaxSubmissions} {
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			by := submitter(t)
			m, err := NewMaker(by, records)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2026, 11, 21, 8, 0, 0, 5_999_999, time.UTC)
			seen := map[string]bool{}
			var kinds []evidence.Kind
			dossiers := map[evidence.Dossier][]uint64{}
			for range 7 {
				raw, err := m.Next(at)
				if err != nil {
					t.Fatal(err)
				}
				raw = bytes.Clone(raw)
				req, err := evidence.ParseRequest(raw)
				if err != nil {
					t.Fatal(err)
				}
				if err := req.Statement.Signed.Verify(by.Chain, by.Signer.Public()); err != nil {
					t.Fatal(err)
				}
				if got := req.Statement.SignedAt; !got.Equal(at.Truncate(time.Millisecond)) {
					t.Fatalf("signed at %v", got)
				}
				for i, s := range req.Submissions {
					again, err := s.Submission.Marshal()
					if err != nil || !bytes.Equal(again, s.Bytes) || !bytes.Equal(m.Submission(i), s.Bytes) || m.Pair(i) != s.Pair {
						t.Fatalf("submission %d is not what evidence makes: %v", i, err)
					}
					unique := []string{fmt.Sprintf("%x", s.Nonce)}
					if s.Digest != nil {
						unique = append(unique, s.Digest.String())
					}
					if s.Claims != nil {
						unique = append(unique, s.Claims.String())
					}
					for _, u := range unique {
						if seen[u] {
							t.Fatalf("%s twice", u)
						}
						seen[u] = true
					}
					kinds = append(kinds, s.Kind)
					dossiers[s.Dossier] = append(dossiers[s.Dossier], s.Step)
				}
			}
			for _, k := range session {
				if !slices.Contains(kinds, k) {
					t.Errorf("no %s", k)
				}
			}
			for d, steps := range dossiers {
				if len(steps) > len(session) || !slices.IsSorted(steps) || len(slices.Compact(slices.Clone(steps))) != len(steps) {
					t.Errorf("dossier %s has the steps %v", d, steps)
				}
			}
		})
	}
}

func TestMakerRefuses(t *testing.T) {
	by := submitter(t)
	for _, records := range []int{-1, 0, evidence.MaxSubmissions + 1} {
		if _, err := NewMaker(by, records); err == nil {
			t.Errorf("%d records: no error", records)
		}
	}
	by.Key = "No Such Name"
	if _, err := NewMaker(by, 1); err == nil {
		t.Error("a key name that is none: no error")
	}
}

func BenchmarkMaker(b *testing.B) {
	for _, records := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			m, err := NewMaker(submitter(b), records)
			if err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			b.ReportAllocs()
			var n int
			for b.Loop() {
				raw, err := m.Next(now)
				if err != nil {
					b.Fatal(err)
				}
				n = len(raw)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*records), "µs/record")
			b.ReportMetric(float64(n)/float64(records), "B/record")
		})
	}
}
