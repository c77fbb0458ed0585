package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// target is an address that requests are posted to, over kept connections.
type target struct {
	client *fasthttp.HostClient
	uri    string
	prefer string // header of that name, "" for none
}

// newTarget makes a target of the URL of a node or another server.
func newTarget(address, path string, connections int, conf *tls.Config) (*target, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("the address must look like http://host:port, not %q", address)
	}
	host := u.Host
	if u.Port() == "" {
		host += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	}
	return &target{
		uri: u.JoinPath(path).String(),
		client: &fasthttp.HostClient{
			Addr: host, IsTLS: u.Scheme == "https", TLSConfig: conf,
			Name: "qifeng-bench", MaxConns: connections, MaxIdleConnDuration: time.Minute,
			ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
			MaxResponseBodySize: 64 << 20, ReadBufferSize: 16 << 10,
			DisableHeaderNamesNormalizing: true, DisablePathNormalizing: true,
			// Only what is known to have done nothing is sent again by the library: the
			// loop itself decides about everything else.
			MaxIdemponentCallAttempts: 1,
		},
	}, nil
}

func (t *target) close() { t.client.CloseIdleConnections() }

// exchange is the memory of one connection for requests and answers.
type exchange struct {
	to   *target
	req  *fasthttp.Request
	resp *fasthttp.Response
}

func (t *target) exchange() *exchange {
	x := &exchange{to: t, req: fasthttp.AcquireRequest(), resp: fasthttp.AcquireResponse()}
	x.req.Header.SetMethod(fasthttp.MethodPost)
	x.req.SetRequestURI(t.uri)
	x.req.Header.SetContentType("application/json")
	if t.prefer != "" {
		x.req.Header.Set("Prefer", t.prefer)
	}
	return x
}

// answer is what came back; body is valid until the next post.
type answer struct {
	status int
	body   []byte
	after  time.Duration // Retry-After
}

// errRefused are the statuses that ask the sender to come again.
func (a answer) refused() bool {
	return a.status == fasthttp.StatusTooManyRequests || a.status == fasthttp.StatusServiceUnavailable
}

func (a answer) good() bool { return a.status >= 200 && a.status < 300 }

// post sends a body and reads the whole answer.
func (x *exchange) post(body []byte) (answer, error) {
	x.req.SetBodyRaw(body)
	if err := x.to.client.Do(x.req, x.resp); err != nil {
		return answer{}, fmt.Errorf("sending: %w", err)
	}
	a := answer{status: x.resp.StatusCode(), body: x.resp.Body()}
	if v := x.resp.Header.Peek("Retry-After"); len(v) > 0 {
		if n, err := strconv.Atoi(string(v)); err == nil && n >= 0 {
			a.after = min(time.Duration(n)*time.Second, maxPause)
		}
	}
	return a, nil
}

// lost tells whether a request may be sent again because its connection broke,
// as where the server has closed one that was idle.
func lost(err error) bool { return errors.Is(err, fasthttp.ErrConnectionClosed) }
