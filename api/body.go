package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// bodyKey is where jsonBody leaves the *body of a request.
const bodyKey = "body"

// body is the body of a request as it comes in. It has to keep up with
// minBodyRate, and what is held of it counts against the room for all bodies,
// so that memory is bounded by Bounds.BodyBytes however many callers there are.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	began   time.Time
	room    *room
	from    netip.Addr
	read    int64
	held    int64
}

// hold puts the body of a request under the bounds of body.
func (s *Server) hold(c *gin.Context) *body {
	b := &body{ReadCloser: c.Request.Body, control: http.NewResponseController(c.Writer),
		began: time.Now(), room: s.room, from: addressOf(c.Request.RemoteAddr)}
	c.Request.Body = b
	c.Set(bodyKey, b)
	return b
}

// Read implements io.Reader. The deadline moves with what has come: a caller may
// think for bodyGrace and is then held to minBodyRate. At the end it is lifted:
// the wait for a seal may be longer.
func (b *body) Read(p []byte) (int, error) {
	due := b.began.Add(bodyGrace + time.Duration(b.read)*time.Second/minBodyRate)
	_ = b.control.SetReadDeadline(due) // a writer without deadlines is a test's
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, fmt.Errorf("reading the body: slower than %d bytes a second: %w", minBodyRate, err)
	case errors.Is(err, io.EOF):
		_ = b.control.SetReadDeadline(time.Time{})
	}
	if b.room != nil && n > 0 {
		if !b.room.take(b.from, int64(n)) {
			return n, &fault{kind: overloaded, retry: retryAfter, detail: "too many bodies are being read"}
		}
		b.held += int64(n)
	}
	return n, err
}

// readBody reads a whole body into memory of about its size. What the caller
// says of its length is believed for no more than firstRead, and beyond that for
// as much again as has come: memory is bounded by what was sent, not by what was
// announced.
func readBody(r io.Reader, length int64) ([]byte, error) {
	first := int64(512) // where nothing is said
	if length >= 0 {
		first = min(length, firstRead)
	}
	b := make([]byte, 0, first+1) // one more, to see the end
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) == cap(b) {
			more := 2 * int64(cap(b))
			if length > int64(len(b)) {
				more = min(more, length+1)
			}
			b = append(make([]byte, 0, more), b...)
		}
	}
}

// release gives the room back, when the body is no longer in memory.
func (b *body) release() {
	if b.room != nil {
		b.room.give(b.from, b.held)
		b.held = 0
	}
}

// bodyRead is how much of the body was read.
func bodyRead(c *gin.Context) int64 {
	if b, ok := c.Value(bodyKey).(*body); ok {
		return b.read
	}
	return 0
}

// releaseBody is for a handler that is done with the body and goes on to wait.
func releaseBody(c *gin.Context) {
	if b, ok := c.Value(bodyKey).(*body); ok {
		b.release()
	}
}

// strayBody bounds what a caller may still send when nothing reads it, which
// net/http then throws away: it has bodyGrace for it. Where no body belongs, one
// is refused: the wait for a state would lift the deadline.
func (s *Server) strayBody(c *gin.Context) {
	if c.Request.ContentLength == 0 {
		return
	}
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(bodyGrace))
	if c.Request.Method != http.MethodPost {
		c.Header("Connection", "close")
		s.problem(c, &fault{kind: badRequest, detail: "no body belongs to this method", mend: "send it without a body"})
	}
}

// room is the memory that bodies may take: in all, and a share of it from one
// address, so that slow bodies of one caller do not keep out all others.
type room struct {
	all, each int64

	mu   sync.Mutex // guards what follows
	used int64
	from map[netip.Addr]int64
}

func newRoom(all int64) *room {
	return &room{all: all, each: all / bodyShare, from: make(map[netip.Addr]int64)}
}

func (r *room) take(from netip.Addr, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used+n > r.all || r.from[from]+n > r.each {
		return false
	}
	r.used += n
	r.from[from] += n
	return true
}

func (r *room) give(from netip.Addr, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	if r.from[from] -= n; r.from[from] <= 0 {
		delete(r.from, from)
	}
}
