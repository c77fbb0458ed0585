package floods

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// LongVariable asks for the long floods: longer windows and 10,000 connections.
const LongVariable = "QIFENG_FLOODS"

// size is how much is flooded and how long is measured.
type size struct {
	window  time.Duration
	windows int
	idle    int // connections
	least   float64
}

// The quick ones run beside everybody else's tests, where a window of some
// blocks shows little but that nothing stands still.
var (
	quick = size{window: 400 * time.Millisecond, windows: 3, idle: 3000, least: 0.35}
	long  = size{window: 3 * time.Second, windows: 3, idle: 10_000, least: 0.5}
)

const (
	// retries measure a door again that did badly: another program may have had
	// the machine.
	retries = 2
	// mostMemory is far above what a node has and far below what unbounded bodies
	// or connections would take.
	mostMemory = 700 // MiB
)

// flood runs until ctx ends and says what it did.
type flood struct {
	name string
	run  func(ctx context.Context, t testing.TB, f *field) string
}

// field is what a flood aims at.
type field struct {
	*network
	*job
	size   size
	forged []byte // a large request that is all right but for its signature
}

func TestFloods(t *testing.T) {
	size := quick
	if os.Getenv(LongVariable) == "long" {
		size = long
	} else if testing.Short() {
		t.Skip("floods take half a minute")
	}
	n := newNetwork(t)
	j := startJob(t, n)
	f := &field{network: n, job: j, size: size, forged: forged(t, j.s)}
	t.Run("peers", func(t *testing.T) { onlyMembersArePeers(t, n, j) })
	j.rate(size.window) // warm up
	for _, fl := range []flood{
		{"CheckTx by a member", memberSpam}, {"CheckTx by a stranger", strangerSpam},
		{"idle connections", idleConnections}, {"slow headers", slowHeaders}, {"slow bodies", slowBodies},
		{"giant JSON", giantJSON}, {"deep JSON", deepJSON}, {"gzip bombs", gzipBombs},
	} {
		t.Run(strings.ReplaceAll(fl.name, " ", "-"), func(t *testing.T) { f.withstand(t, fl) })
	}
	j.end(t)
	n.check(t)
}

// withstand measures the main job without and with a flood.
func (f *field) withstand(t *testing.T, fl flood) {
	for try := 0; ; try++ {
		calm := f.rates()
		ctx, cancel := context.WithCancel(t.Context())
		did := make(chan string, 1)
		go func() { did <- fl.run(ctx, t, f) }()
		f.rate(f.size.window) // it grows
		stormy := f.rates()
		memory := f.memory(vendor)
		cancel()
		said := <-did
		ratio := median(stormy) / max(median(calm), 1)
		t.Logf("%-22s %4.0f records/s, flooded %4.0f: ratio %.2f; %d MiB; %s", fl.name, median(calm), median(stormy), ratio, memory, said)
		if memory > mostMemory {
			t.Errorf("%d MiB, at most %d are expected", memory, mostMemory)
		}
		if ratio >= f.size.least {
			return
		}
		if try == retries {
			t.Errorf("the main job goes on at %.2f of its rate, at least %.2f is wanted", ratio, f.size.least)
			return
		}
	}
}

func (f *field) rates() []float64 {
	var out []float64
	for range f.size.windows {
		out = append(out, f.rate(f.size.window))
	}
	return out
}

// memberSpam: a member gossips junk that it signed, as fast as it can make it,
// with as much that it did not sign.
func memberSpam(ctx context.Context, t testing.TB, f *field) string {
	p := newPeer(t, f.s.ChainID, rogueKey(t, f.network))
	defer func() { _ = p.sw.Stop() }()
	if err := p.dial(f.Peers[vendor]); err != nil {
		t.Logf("dialling: %v", err)
	}
	j := newJunk(t, f.network, f.s.ChainID)
	j.seq = uint64(time.Now().UnixMilli()) // above every run before
	sent := 0
	every(ctx, 2*time.Millisecond, func() {
		for range 4 {
			good, bad, err := j.next()
			if err != nil {
				t.Error(err)
				return
			}
			sent += p.sendTxs(bad, good)
		}
	})
	if sent == 0 {
		t.Error("nothing was sent: the test tests nothing")
	}
	return fmt.Sprintf("%d transactions sent", sent)
}

// strangerSpam: who is in no register dials again and again, and sends what it
// can before it is dropped.
func strangerSpam(ctx context.Context, t testing.TB, f *field) string {
	var dials, sent atomic.Int64
	j := newJunk(t, f.network, f.s.ChainID)
	good, bad, err := j.next()
	if err != nil {
		t.Error(err)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			every(ctx, 20*time.Millisecond, func() {
				p := newPeer(t, f.s.ChainID, stranger())
				defer func() { _ = p.sw.Stop() }()
				dials.Add(1)
				if p.dial(f.Peers[vendor]) == nil {
					sent.Add(int64(p.sendTxs(good, bad)))
				}
			})
		})
	}
	// Beside them, connections that never begin the handshake.
	c := &crowd{addr: f.Peers[vendor][strings.IndexByte(f.Peers[vendor], '@')+1:]}
	c.keep(ctx, 200, 10*time.Millisecond, func(net.Conn) error { return nil })
	wg.Wait()
	return fmt.Sprintf("%d dials, %d transactions written, %s", dials.Load(), sent.Load(), c)
}

// idleConnections: connections are opened and nothing is asked on them; those
// that the node closes are opened again.
func idleConnections(ctx context.Context, t testing.TB, f *field) string {
	most := min(f.size.idle, descriptors()-2000)
	c := &crowd{addr: f.APIs[vendor], sources: 16}
	c.keep(ctx, most, 0, func(c net.Conn) error { return nil })
	return fmt.Sprintf("of %d wanted, %s", f.size.idle, c)
}

// slowHeaders: 500 connections that send a header a byte at a time.
func slowHeaders(ctx context.Context, t testing.TB, f *field) string {
	c := &crowd{addr: f.APIs[vendor], sources: 2}
	c.keep(ctx, 500, 100*time.Millisecond, trickle("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "))
	return c.String()
}

// slowBodies: the same with bodies.
func slowBodies(ctx context.Context, t testing.TB, f *field) string {
	c := &crowd{addr: f.APIs[vendor], sources: 2}
	c.keep(ctx, 500, 100*time.Millisecond, trickle("POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{"))
	return c.String()
}

// trickle sends a beginning, and then a byte each time it is called.
func trickle(first string) func(net.Conn) error {
	var begun sync.Map
	return func(c net.Conn) error {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, again := begun.LoadOrStore(c, true); !again {
			_, err := io.WriteString(c, first)
			return err
		}
		_, err := c.Write([]byte{'1'})
		return err
	}
}

// giantJSON: requests of a megabyte that are right in everything but the
// signature, the dearest there are to refuse.
func giantJSON(ctx context.Context, t testing.TB, f *field) string {
	return f.post(ctx, t, "127.0.0.21", f.forged)
}

// deepJSON: two megabytes of nothing but brackets.
func deepJSON(ctx context.Context, t testing.TB, f *field) string {
	return f.post(ctx, t, "127.0.0.22", bytes.Repeat([]byte("["), 2<<20))
}

// gzipBombs: a gigabyte of zeros in a megabyte.
func gzipBombs(ctx context.Context, t testing.TB, f *field) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20)) // into memory
	}
	_ = z.Close()
	return f.post(ctx, t, "127.0.0.23", b.Bytes(), "Content-Encoding", "gzip")
}

// post sends one body on eight connections, as fast as it is answered, at most
// two hundred times a second.
func (f *field) post(ctx context.Context, t testing.TB, source string, body []byte, head ...string) string {
	tr := &http.Transport{MaxIdleConnsPerHost: 8, DialContext: dialer(source).DialContext}
	defer tr.CloseIdleConnections()
	var mu sync.Mutex
	answers := map[int]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			every(ctx, 40*time.Millisecond, func() {
				ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.APIs[vendor]+"/v1/records", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				for i := 0; i+1 < len(head); i += 2 {
					req.Header.Set(head[i], head[i+1])
				}
				status := 0 // the connection was cut, which is an answer too
				if resp, err := tr.RoundTrip(req); err == nil {
					status = resp.StatusCode
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				mu.Lock()
				defer mu.Unlock()
				answers[status]++
				if status/100 == 2 || status == 500 {
					t.Errorf("answered %d", status)
				}
			})
		})
	}
	wg.Wait()
	return fmt.Sprintf("answers %v (0: cut)", answers)
}

// crowd is many connections.
type crowd struct {
	addr    string
	sources int // addresses of the loopback network to come from

	opened, cut, refused atomic.Int64
	most                 atomic.Int64
}

func (c *crowd) String() string {
	return fmt.Sprintf("%d connections opened, %d at once, %d cut by the node, %d dials failed",
		c.opened.Load(), c.most.Load(), c.cut.Load(), c.refused.Load())
}

// keep opens n connections and acts on each at a pace (0: never), and opens
// those again that end, at a bounded pace.
func (c *crowd) keep(ctx context.Context, n int, pace time.Duration, act func(net.Conn) error) {
	var wg sync.WaitGroup
	var now atomic.Int64
	tokens := make(chan struct{}) // bounds the dials: 4,000 a second
	wg.Go(func() {
		every(ctx, 5*time.Millisecond, func() {
			for range 20 {
				select {
				case tokens <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
	})
	for i := range n {
		d := dialer(fmt.Sprintf("127.0.0.%d", 100+i%max(c.sources, 1)))
		wg.Go(func() {
			for {
				select {
				case <-tokens:
				case <-ctx.Done():
					return
				}
				conn, err := d.DialContext(ctx, "tcp", c.addr)
				if err != nil {
					c.refused.Add(1)
					continue
				}
				c.opened.Add(1)
				if k := now.Add(1); k > c.most.Load() {
					c.most.Store(k)
				}
				c.hold(ctx, conn, pace, act)
				now.Add(-1)
			}
		})
	}
	wg.Wait()
}

// hold keeps a connection until the node or ctx ends it.
func (c *crowd) hold(ctx context.Context, conn net.Conn, pace time.Duration, act func(net.Conn) error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.(*net.TCPConn).SetLinger(0); conn.Close() })
	defer stop()
	defer conn.Close()
	if pace == 0 {
		_, _ = conn.Read(make([]byte, 1)) // until somebody closes it
	} else {
		every(ctx, pace, func() {
			if act(conn) != nil {
				pace = -1
			}
		}, func() bool { return pace < 0 })
	}
	if ctx.Err() == nil {
		c.cut.Add(1)
	}
}

// every calls f at a pace until ctx ends, or one of done says so.
func every(ctx context.Context, pace time.Duration, f func(), done ...func() bool) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
		for _, d := range done {
			if d() {
				return
			}
		}
	}
}

// dialer dials from an address of the loopback network, so that a flood has
// other addresses than the main job; systems without them have one for all.
func dialer(source string) *net.Dialer {
	d := &net.Dialer{Timeout: 5 * time.Second}
	if ln, err := net.Listen("tcp", source+":0"); err == nil {
		ln.Close()
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	return d
}

// descriptors is how many files this process may have open, after asking for all.
func descriptors() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 4096
	}
	l.Cur = l.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) // what is allowed is read again
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return int(min(l.Cur, 1<<20))
}

// forged is a large request by the registered key's name, signed with another.
func forged(t testing.TB, s *client.Submitter) []byte {
	t.Helper()
	other, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	fake := *s
	fake.Signer = other
	subs := make([]*evidence.Submission, evidence.MaxSubmissions)
	for i := range subs {
		var content [16]byte
		_, _ = rand.Read(content[:]) // never fails (crypto/rand, Go 1.24)
		subs[i] = fake.NewContract(evidence.ContractFinal, merkle.Sum(content[:]), 16)
	}
	req, err := fake.NewRequest(subs...)
	if err != nil {
		t.Fatal(err)
	}
	return req.Raw
}
