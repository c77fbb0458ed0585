//go:build unix

package gate

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/bench"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// The most that is allowed of each ratio: about twice of what it was on an AMD
// EPYC with two cores when it was last set, since processors differ in what they
// have for SHA-256 and SM3.
const (
	// mostIntake is the processor time of reading requests of a hundred records and
	// taking them in, over that of hashing their submissions once, both hashes.
	mostIntake = 20
	// mostSingle is the processor time of a request with one record over HTTP, its
	// making and signing included, over that of the bare echo of such a body.
	mostSingle = 32
)

const rounds = 5

// cpu is the processor time that the process has used.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// costs is the processor time of f.
func costs(t testing.TB, f func()) time.Duration {
	before := cpu(t)
	f()
	return cpu(t) - before
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func submitter(n *apitest.TestNode) bench.Submitter {
	return bench.Submitter{Chain: n.Chain, Member: apitest.Node, Key: apitest.KeyName, Signer: n.User}
}

func TestIntakeAgainstHashing(t *testing.T) {
	const requests, records = 100, 100
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	m, err := bench.NewMaker(submitter(n), records)
	if err != nil {
		t.Fatal(err)
	}
	var ratios []float64
	for range rounds {
		bodies := make([][]byte, requests)
		for i := range bodies {
			raw, err := m.Next(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			bodies[i] = bytes.Clone(raw)
		}
		parsed := make([]*evidence.Request, requests)
		intake := costs(t, func() {
			for first := 0; first < requests; first += 20 { // as many at once as come at once
				var all sync.WaitGroup
				for i := first; i < first+20; i++ {
					all.Go(func() {
						req, err := evidence.ParseRequest(bodies[i])
						if err == nil {
							_, err = n.Archive.Submit(t.Context(), req)
						}
						if err != nil {
							t.Error(err)
						}
						parsed[i] = req
					})
				}
				all.Wait()
			}
		})
		if t.Failed() {
			return
		}
		hashing := costs(t, func() {
			for _, req := range parsed {
				entries := make([][]byte, records)
				for i := range entries {
					entries[i] = req.Submissions[i].Bytes
				}
				merkle.LeafHashes(entries)
			}
		})
		ratios = append(ratios, float64(intake)/float64(hashing))
	}
	r := median(ratios)
	t.Logf("taking records in costs %.1f times what hashing them costs, at most %d are allowed: %.1f", r, mostIntake, ratios)
	if r > mostIntake {
		t.Errorf("intake costs %.1f times the hashing, at most %d are allowed", r, mostIntake)
	}
}

func TestSingleAgainstEcho(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		_, _ = w.Write(b.Bytes())
	}))
	defer echo.Close()
	var ratios []float64
	for range 3 {
		var bare *bench.PlainResult
		var real *bench.Result
		var err error
		took := costs(t, func() {
			bare, err = bench.Plain(t.Context(), bench.PlainConfig{URL: echo.URL, Bytes: 900, Connections: 8, Duration: 600 * time.Millisecond})
		})
		if err != nil {
			t.Fatal(err)
		}
		echoed := took.Seconds() / (bare.RequestsPerS * bare.Window)
		took = costs(t, func() {
			real, err = bench.Run(t.Context(), bench.Config{
				URL: n.HTTP.URL, Policy: n.Policy, By: submitter(n), Records: 1, Connections: 8, Duration: 600 * time.Millisecond,
				ReadKeyID: apitest.Node + "/" + apitest.ReadKeyName, Reader: n.Keys[apitest.Node].Read,
			})
		})
		if err != nil || !real.OK() {
			t.Fatalf("%+v, %v", real, err)
		}
		ratios = append(ratios, took.Seconds()/float64(real.Accepted.Requests)/echoed)
	}
	r := median(ratios)
	t.Logf("a request with one record costs %.1f times a bare echo, at most %d are allowed: %.1f", r, mostSingle, ratios)
	if r > mostSingle {
		t.Errorf("a request with one record costs %.1f times a bare echo, at most %d are allowed", r, mostSingle)
	}
}
