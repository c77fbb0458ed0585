package node

import (
	"net"
	"net/url"
	"slices"

	"qifeng/api/httpsig"
)

// origins are the addresses that signed reads may name: those of the
// configuration, or the listener's and the card's.
func origins(c *APIConfig, cardURL string) []string {
	if len(c.Origins) > 0 {
		return c.Origins
	}
	scheme := "http://"
	if c.tls() {
		scheme = "https://"
	}
	out := []string{scheme + reachable(c.Listen)}
	if host, port, err := net.SplitHostPort(reachable(c.Listen)); err == nil && loopback(host) {
		out = append(out, scheme+net.JoinHostPort("localhost", port))
	}
	// A card may name what no origin can be; then its listener's are all.
	if u, err := url.Parse(cardURL); err == nil {
		if with := append(slices.Clone(out), u.Scheme+"://"+u.Host); httpsig.CheckOrigins(with) == nil {
			out = with
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
