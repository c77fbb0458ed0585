package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
)

// MetricsConfig is the section [metrics].
//
// Where /metrics is: on Listen if that is set; else on the API's address if only
// this machine reaches it; else nowhere. Numbers tell no personal data but do
// tell how much business a member does, so nobody outside reads them by accident.
type MetricsConfig struct {
	Listen      string `toml:"listen" comment:"指标 (Prometheus) 监听地址；空：仅当接口只在本机可达时由接口提供 /metrics · Address of /metrics, host:port.\nEmpty: on the API's address if only this machine reaches that, else nowhere. Default \"\"."`
	AllowRemote bool   `toml:"allow_remote" comment:"允许非本机地址：指标会显示业务量 · Allow an address that is not loopback: whoever reaches it\nsees how much business there is, no records and no personal data. Default false."`
}

func (c *MetricsConfig) validate(api *APIConfig) error {
	if c.Listen == "" {
		return nil
	}
	host, err := checkAddress(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if c.Listen == api.Listen {
		return fmt.Errorf("listen: %q is the API's; leave it empty to have /metrics there", c.Listen)
	}
	if !loopback(host) && !c.AllowRemote {
		return fmt.Errorf("listen: %q is reachable from outside: use 127.0.0.1, or set allow_remote = true if you guard the port yourself", c.Listen)
	}
	return nil
}

// metricsOnAPI says whether the API's address has /metrics. A configuration
// that was validated has a host there.
func metricsOnAPI(c *Config) bool {
	host, err := checkAddress(c.API.Listen)
	return c.Metrics.Listen == "" && err == nil && loopback(host)
}

// onAPI is what the API answers /metrics with, nil where it does not.
func (m *metrics) onAPI() http.Handler {
	if !metricsOnAPI(m.cfg) {
		return nil
	}
	return m.handler()
}

// scrapes is the listener of [metrics] listen. It answers from the start of the
// process on, so that a node that waits for the chain can be seen waiting.
type scrapes struct {
	srv  *http.Server
	done chan error
}

// listen opens the listener, if one is configured.
func (m *metrics) listen() error {
	if m.cfg.Metrics.Listen == "" {
		return nil
	}
	ln, err := net.Listen("tcp", m.cfg.Metrics.Listen)
	if err != nil {
		return fmt.Errorf("[metrics] listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.handler())
	s := &scrapes{done: make(chan error, 1), srv: &http.Server{Handler: mux, MaxHeaderBytes: scrapeHeader,
		ReadTimeout: scrapeTimeout, WriteTimeout: 2 * scrapeTimeout, IdleTimeout: scrapeIdle,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}}
	go func() { s.done <- s.srv.Serve(ln) }()
	m.own = s
	m.log.Info("metrics are served", "listen", ln.Addr().String())
	return nil
}

// close ends it; a scrape under way has a moment.
func (s *scrapes) close() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeDrain)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.srv.Close()
	}
	if e := <-s.done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
