package node

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"qifeng/api/wire"
)

// starting answers on the API's port while the node waits for the chain: it
// lives, it is not ready, and everything else is to be asked again.
type starting struct {
	ln   *net.TCPListener
	srv  *http.Server
	done chan error
}

// answerStarting begins to answer on ln.
func answerStarting(ln *net.TCPListener) *starting {
	s := &starting{ln: ln, done: make(chan error, 1)}
	s.srv = &http.Server{Handler: http.HandlerFunc(startingAnswer), ReadHeaderTimeout: time.Second, ReadTimeout: time.Second}
	go func() { s.done <- s.srv.Serve(lentListener{ln}) }()
	return s
}

// stop ends the answers and gives the listener back, open.
func (s *starting) stop() error {
	err := s.srv.Shutdown(context.Background()) // no answer takes longer than a write
	if e := <-s.done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, s.ln.SetDeadline(time.Time{}))
}

// lentListener ends Accept when it is closed, and leaves the port open: a
// connection that comes between two servers waits for the second.
type lentListener struct{ *net.TCPListener }

func (l lentListener) Close() error { return l.SetDeadline(time.Unix(1, 0)) }

func startingAnswer(w http.ResponseWriter, r *http.Request) {
	const why = "the node is starting and waits until the chain has caught up"
	var body any
	status, kind := http.StatusServiceUnavailable, "application/json"
	switch r.URL.Path {
	case "/healthz":
		status, body = http.StatusOK, map[string]string{"status": "starting"}
	case "/readyz":
		body = wire.Ready{Reasons: []wire.Reason{{Code: "starting", Detail: why}}}
	default:
		kind = "application/problem+json"
		w.Header().Set("Retry-After", "1")
		body = wire.Problem{Type: "urn:qifeng:problem:starting", Title: "The node is starting", Status: status,
			Detail: why, Code: "starting", Mend: "ask again in a moment"}
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
	// The caller may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(body)
}
