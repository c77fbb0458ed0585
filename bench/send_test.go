package bench

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

func echo(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/busy":
			w.Header().Set("Retry-After", r.URL.Query().Get("after"))
			w.WriteHeader(http.StatusTooManyRequests)
		case "/cut":
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.Copy(w, r.Body)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestPost(t *testing.T) {
	url := echo(t)
	for _, tc := range []struct {
		path  string
		good  bool
		after time.Duration
		fails bool
	}{
		{"/", true, 0, false}, {"/busy?after=2", false, 2 * time.Second, false}, {"/busy?after=99999", false, maxPause, false},
		{"/busy?after=-1", false, 0, false}, {"/busy?after=soon", false, 0, false}, {"/cut", false, 0, true},
	} {
		to, err := newTarget(url+tc.path, "", 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := to.exchange().post([]byte("body"))
		if (err != nil) != tc.fails || a.good() != tc.good || a.after != tc.after || tc.good && string(a.body) != "body" {
			t.Errorf("%s: %+v, %v", tc.path, a, err)
		}
		if !tc.fails && a.refused() == tc.good {
			t.Errorf("%s: refused is %v", tc.path, a.refused())
		}
		to.close()
	}
	for _, bad := range []string{"", "127.0.0.1:1", "ftp://127.0.0.1", "http://"} {
		if _, err := newTarget(bad, "", 1, nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// BenchmarkClient is why the generator does not use net/http: both post a record
// to one server, in one process, so half of the time is the server's.
func BenchmarkClient(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 900)
	cpu := func(b *testing.B, f func()) {
		before := cpuSeconds(os.Getpid())
		f()
		b.ReportMetric((cpuSeconds(os.Getpid())-before)*1e6/float64(b.N), "cpu-µs/op")
	}
	b.Run("net/http", func(b *testing.B) {
		url := echo(b)
		hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
		b.ReportAllocs()
		b.SetParallelism(32)
		cpu(b, func() {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := hc.Post(url, "application/json", bytes.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	})
	b.Run("fasthttp", func(b *testing.B) {
		to, err := newTarget(echo(b), "", 256, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetParallelism(32)
		cpu(b, func() {
			b.RunParallel(func(pb *testing.PB) {
				x := to.exchange()
				for pb.Next() {
					if _, err := x.post(body); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	})
}
