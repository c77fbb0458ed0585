package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/archive"
	"qifeng/evidence"
)

// bounded serves a node behind a listener with its bounds of connections.
func bounded(t *testing.T, bounds api.Bounds) (n *apitest.TestNode, addr string) {
	t.Helper()
	n, door := listening(t, bounds)
	return n, door.Addr().String()
}

// listening is bounded with the listener itself.
func listening(t *testing.T, bounds api.Bounds) (n *apitest.TestNode, door net.Listener) {
	t.Helper()
	n = apitest.NewNode(t, apitest.Options{Bounds: bounds})
	n.Ledger.Auto()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	door = n.Server.Bound(ln)
	go func() { done <- n.Server.Serve(ctx, door) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n, door
}

// allSilent waits until n connections are silent: a client has its answer before
// the server knows that the connection is idle.
func allSilent(t *testing.T, door net.Listener, n int) {
	t.Helper()
	waitFor(t, "all are silent", func() bool { return api.Silent(door) == n })
}

// from dials from an address of the loopback network.
func from(t *testing.T, source, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Skipf("dialling from %s: %v", source, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// health asks on an open connection and returns the status, 0 where it is closed.
func health(c net.Conn) int {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// closed waits until the other side has closed a connection.
func closed(t *testing.T, c net.Conn, within time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	_ = c.SetReadDeadline(began.Add(within))
	_, err := io.Copy(io.Discard, c)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Fatalf("still open after %v", within)
	}
	return time.Since(began)
}

func TestConnectionsOfOneAddress(t *testing.T) {
	_, door := listening(t, api.Bounds{Connections: 8, AddressConnections: 3})
	addr := door.Addr().String()
	a := []net.Conn{from(t, "127.0.0.2", addr), from(t, "127.0.0.2", addr), from(t, "127.0.0.2", addr)}
	other := from(t, "127.0.0.3", addr)
	for _, c := range append(a, other) {
		if got := health(c); got != 200 {
			t.Fatalf("within the bounds: %d", got)
		}
		allSilent(t, door, 4)
	}
	// A fourth makes its own oldest go, and nobody else's.
	if got := health(from(t, "127.0.0.2", addr)); got != 200 {
		t.Fatalf("the newest: %d", got)
	}
	closed(t, a[0], 5*time.Second)
	for _, c := range []net.Conn{a[1], a[2], other} {
		if got := health(c); got != 200 {
			t.Errorf("a younger or a foreign one: %d", got)
		}
	}
}

func TestConnectionsInAll(t *testing.T) {
	_, door := listening(t, api.Bounds{Connections: 4, AddressConnections: 4})
	addr := door.Addr().String()
	var idle []net.Conn
	for range 4 {
		c := from(t, "127.0.0.2", addr)
		if health(c) != 200 {
			t.Fatal("within the bounds")
		}
		idle = append(idle, c)
		allSilent(t, door, len(idle))
	}
	late := from(t, "127.0.0.3", addr)
	if got := health(late); got != 200 {
		t.Fatalf("an address without connections, when all are taken by silent ones: %d", got)
	}
	closed(t, idle[0], 5*time.Second)
	if got := health(idle[3]); got != 200 {
		t.Fatalf("the youngest idle one: %d", got)
	}
}

func TestConnectionsThatAskStay(t *testing.T) {
	n, addr := bounded(t, api.Bounds{Connections: 2, AddressConnections: 2})
	n.Ledger.SetAway("court-a", "notary-a")
	body := request(t, n, contract(n, "x")).Raw
	var busy []net.Conn
	for range 2 {
		c := from(t, "127.0.0.2", addr)
		fmt.Fprintf(c, "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nPrefer: wait=3\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		busy = append(busy, c)
	}
	waitFor(t, "both wait", func() bool { _, waiting := n.Server.Load(); return waiting == 2 })
	if got := health(from(t, "127.0.0.3", addr)); got != 0 {
		t.Fatalf("a third, when both have a request under way: %d", got)
	}
	for _, c := range busy {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode/100 != 2 {
			t.Errorf("a request under way: %v, %v", resp, err)
		}
	}
}

// TestSlowSenders: neither a slow header nor a slow body, wanted or not, holds a
// connection for long.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	_, addr := bounded(t, api.Bounds{})
	for name, first := range map[string]string{
		"header":           "POST /v1/records HTTP/1.1\r\nHost: x\r\nX-A: ",
		"body":             "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
		"chunked body":     "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"stray body":       "GET /v1/status HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\nContent-Length: 100000\r\n\r\n{",
		"body of no route": "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
		"refused body":     "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := from(t, "127.0.0.2", addr)
			fmt.Fprint(c, first)
			stop := make(chan struct{})
			defer close(stop)
			go func() { // a byte now and then, as those do
				tick := time.NewTicker(200 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						if _, err := c.Write([]byte("1")); err != nil {
							return
						}
					}
				}
			}()
			if d := closed(t, c, 15*time.Second); d > 10*time.Second {
				t.Errorf("held for %v", d)
			}
		})
	}
}

// TestBodyThatKeepsUp: a body at the least rate and somewhat more is taken,
// though it takes longer than the grace.
func TestBodyThatKeepsUp(t *testing.T) {
	t.Parallel()
	n, addr := bounded(t, api.Bounds{})
	var subs []*evidence.Submission
	for i := range 700 {
		subs = append(subs, contract(n, fmt.Sprint(i)))
	}
	body := request(t, n, subs...).Raw
	c := from(t, "127.0.0.2", addr)
	fmt.Fprintf(c, "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for len(body) > 0 {
			part := min(len(body), 11<<10) // 110 KiB a second
			if _, err := c.Write(body[:part]); err != nil {
				return
			}
			body = body[part:]
			<-tick.C
		}
	}()
	_ = c.SetReadDeadline(time.Now().Add(25 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", resp, err)
	}
}

func TestAddressIsHeldBack(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{Bounds: api.Bounds{AddressRequests: 100}})
	var resp *http.Response
	var body []byte
	for range 4 { // each costs 101 of 200
		resp, body = call(t, n, "GET", "/v1/records/zz", nil)
	}
	p := problemOf(t, resp, body)
	if p.Status != http.StatusTooManyRequests || p.Code != "too-many-requests" || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("%s, %v", body, resp.Header)
	}
}

func TestKeyIsHeldBack(t *testing.T) {
	for name, bounds := range map[string]api.Bounds{
		"requests": {KeyRequests: 1}, "records": {KeyRecords: 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := apitest.NewNode(t, apitest.Options{Bounds: bounds})
			status := func(body []byte) int {
				resp, _ := call(t, n, "POST", "/v1/records", body)
				return resp.StatusCode
			}
			// What the key did not sign costs it nothing.
			forged := bytes.Clone(request(t, n, contract(n, "x")).Raw)
			i := bytes.Index(forged, []byte(`"sig":"`)) + 7
			copy(forged[i:], strings.Repeat("1", 128))
			for range 20 {
				if got := status(forged); got != http.StatusForbidden {
					t.Fatalf("a forged statement: %d", got)
				}
			}
			held := false
			for i := range 30 {
				var subs []*evidence.Submission
				for j := range 100 {
					subs = append(subs, contract(n, fmt.Sprint(i, j)))
				}
				switch got := status(request(t, n, subs...).Raw); got {
				case http.StatusCreated:
				case http.StatusTooManyRequests:
					held = true
				default:
					t.Fatalf("%d", got)
				}
				if held {
					return
				}
			}
			t.Fatal("the key was never held back")
		})
	}
}

func TestIntakesAreBounded(t *testing.T) {
	blocked := make(chan struct{})
	entered := make(chan struct{}, 8)
	n := apitest.NewNode(t, apitest.Options{Bounds: api.Bounds{Intakes: 1}, Archive: func(a api.Archive) api.Archive {
		return slowArchive{a, entered, blocked}
	}})
	first := make(chan int)
	go func() {
		resp, _ := call(t, n, "POST", "/v1/records", request(t, n, contract(n, "1")).Raw)
		first <- resp.StatusCode
	}()
	<-entered
	resp, body := call(t, n, "POST", "/v1/records", request(t, n, contract(n, "2")).Raw)
	if p := problemOf(t, resp, body); p.Status != 429 || p.Code != "overloaded" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s", body)
	}
	close(blocked)
	if got := <-first; got != 201 {
		t.Errorf("the first: %d", got)
	}
}

func TestNoBodyIsDecompressed(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20)) // into memory
	_ = z.Close()
	for _, encoding := range []string{"gzip", "deflate", "br", "identity, gzip"} {
		resp, _ := call(t, n, "POST", "/v1/records", bomb.Bytes(), "Content-Encoding", encoding)
		if resp.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d", encoding, resp.StatusCode)
		}
	}
}

// TestOddFraming: what HTTP/1.1 offers besides a plain body is refused or bounded.
func TestOddFraming(t *testing.T) {
	_, addr := bounded(t, api.Bounds{})
	const head = "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, tc := range map[string]struct {
		send string
		want int // 0: closed without an answer
	}{
		"expectation":          {head + "Expect: miracle\r\nContent-Length: 2\r\n\r\n{}", 417},
		"continue, too large":  {head + "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 413},
		"long trailer":         {head + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\n{}\r\n0\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", 400},
		"long chunk extension": {head + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 20<<10) + "\r\n{}\r\n0\r\n\r\n", 400},
		"gzip transfer":        {head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		"two lengths":          {head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
		"HTTP/2 preface":       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		"large header":         {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", 431},
	} {
		t.Run(name, func(t *testing.T) {
			c := from(t, "127.0.0.2", addr)
			_ = c.SetDeadline(time.Now().Add(8 * time.Second))
			go func() { _, _ = io.WriteString(c, tc.send) }() // the answer may come before its end
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.want {
				t.Errorf("%s, want %d", resp.Status, tc.want)
			}
		})
	}
}

// slowArchive holds a submission until the test says so.
type slowArchive struct {
	api.Archive
	entered chan<- struct{}
	blocked <-chan struct{}
}

func (a slowArchive) Submit(ctx context.Context, req *evidence.Request) (*archive.Taken, error) {
	a.entered <- struct{}{}
	<-a.blocked
	return a.Archive.Submit(ctx, req)
}
