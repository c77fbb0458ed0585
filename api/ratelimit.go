package api

import (
	"container/list"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"qifeng/archive"
	"qifeng/evidence"
)

// buckets are token buckets by a name. A bucket is never refused its tokens: it
// goes into debt, and what comes next is held back until the debt is paid. So
// the price of a request may be known only after it was answered.
//
// There are at most size of them. The one that was used longest ago makes room
// and is full when it comes back; it pays for nobody to have so many names.
type buckets[K comparable] struct {
	rate  rate.Limit
	burst int
	size  int
	now   func() time.Time

	mu    sync.Mutex // guards what follows
	named map[K]*list.Element
	used  *list.List // of *bucket[K], the longest unused first
}

type bucket[K comparable] struct {
	name  K
	limit *rate.Limiter
}

// newBuckets makes buckets that fill with perSecond tokens a second and hold
// those of burstTime; nil, which holds nobody back, where there is no limit.
func newBuckets[K comparable](perSecond, least, size int, now func() time.Time) *buckets[K] {
	if perSecond <= 0 {
		return nil
	}
	return &buckets[K]{
		rate: rate.Limit(perSecond), burst: max(int(float64(perSecond)*burstTime.Seconds()), least), size: size, now: now,
		named: make(map[K]*list.Element), used: list.New(),
	}
}

// debt is how long name has to wait, 0 where it need not. It makes no bucket,
// so that names that prove to be nobody's take no room.
func (b *buckets[K]) debt(name K) time.Duration {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.named[name]
	if !ok {
		return 0
	}
	missing := 1 - e.Value.(*bucket[K]).limit.TokensAt(b.now())
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(b.rate) * float64(time.Second))
}

// take charges n tokens, more than are there if need be. No debt grows beyond
// two bursts, so a wait is never longer than twice burstTime.
func (b *buckets[K]) take(name K, n int) {
	if b == nil || n <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.named[name]
	if !ok {
		if len(b.named) >= b.size {
			oldest := b.used.Front()
			delete(b.named, b.used.Remove(oldest).(*bucket[K]).name)
		}
		e = b.used.PushBack(&bucket[K]{name, rate.NewLimiter(b.rate, b.burst)})
		b.named[name] = e
	}
	b.used.MoveToBack(e)
	now, l := b.now(), e.Value.(*bucket[K]).limit
	if l.TokensAt(now) > float64(-b.burst) {
		l.ReserveN(now, min(n, b.burst))
	}
}

func (b *buckets[K]) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.named)
}

// limitAddress holds back an address that asks too much. A request costs one
// token. One that fails by the caller's fault costs failureCost besides, and as
// much again for each costlyBytes of its body: what nobody has signed must not
// buy much work. Callers behind a proxy share its address, which belongs into
// Bounds.Exempt.
func (s *Server) limitAddress(c *gin.Context) {
	if s.addresses == nil {
		return
	}
	from := addressOf(c.Request.RemoteAddr)
	if s.exempt(from) {
		return
	}
	if d := s.addresses.debt(from); d > 0 {
		c.Header("Connection", "close") // what is left of the body is not waited for
		s.problem(c, &fault{kind: tooMany, retry: d, detail: "this address sends too many requests, or too many that fail"})
		return
	}
	s.addresses.take(from, 1)
	c.Next()
	if callersFault(c.Writer.Status()) {
		s.addresses.take(from, failureCost*(1+int(bodyRead(c)/costlyBytes)))
	}
}

// callersFault says whether an answer is a failure that a caller that knows what
// it does would not see again and again. Asking before a record is sealed (409)
// and coming too early (429, 503) are none.
func callersFault(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// keyName is a registered key by its name.
type keyName struct{ member, key string }

// limitKey holds back a key that submits too much. Nothing is charged to it: the
// signature is not checked yet, and nobody spends what is another's.
func (s *Server) limitKey(st *evidence.Statement) error {
	name := keyName{st.Submitter, st.Key}
	if d := max(s.keyRequests.debt(name), s.keyRecords.debt(name)); d > 0 {
		return &fault{kind: tooMany, retry: d, detail: "this key submits more than it may"}
	}
	return nil
}

// chargeKey charges a request to its key, unless err says that the key did not
// sign it.
func (s *Server) chargeKey(st *evidence.Statement, records int, err error) {
	if errors.Is(err, archive.ErrSignature) || errors.Is(err, archive.ErrUnknownKey) {
		return
	}
	name := keyName{st.Submitter, st.Key}
	s.keyRequests.take(name, 1)
	s.keyRecords.take(name, records)
}

// exempt says whether an address is a proxy's, which holds its callers back itself.
func (s *Server) exempt(a netip.Addr) bool {
	return slices.ContainsFunc(s.limits.Exempt, func(p netip.Prefix) bool { return p.Contains(a) })
}

// addressOf is the address that a limit counts: of IPv6 the network of 64 bits,
// which is what one caller is given. What is no address is one caller.
func addressOf(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a
	}
	p, _ := a.Prefix(64) // an IPv6 address has one
	return p.Addr()
}
