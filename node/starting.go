package node

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"qifeng/api"
)

// starting answers on the API's port while the node waits for the chain: it
// lives, it is not ready, and everything else is to be asked again.
type starting struct {
	ln   *net.TCPListener
	srv  *http.Server
	done chan error
}

// answerStarting begins to answer on ln, with TLS if it is configured.
func answerStarting(ln *net.TCPListener, cfg *tls.Config, log *slog.Logger) (*starting, error) {
	h, err := api.Starting(log)
	if err != nil {
		return nil, err
	}
	s := &starting{ln: ln, done: make(chan error, 1)}
	s.srv = &http.Server{Handler: h, ReadHeaderTimeout: time.Second, ReadTimeout: time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() { s.done <- s.srv.Serve(api.ListenTLS(lentListener{ln}, cfg)) }()
	return s, nil
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
