package httpsig

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// normalAuthority is a host with its port in the form of RFC 9421 §2.2.3: lower
// case, without the scheme's own port.
func normalAuthority(scheme, host string) (string, error) {
	name, port, err := splitHost(host)
	if err != nil {
		return "", err
	}
	if port == "" || port == ownPort(scheme) {
		return name, nil
	}
	return name + ":" + port, nil
}

// splitHost takes a host apart and puts it in lower case. The port is empty or a
// number without leading zeros.
func splitHost(host string) (name, port string, err error) {
	if len(host) > maxHost {
		return "", "", fmt.Errorf("has %d bytes, the limit is %d", len(host), maxHost)
	}
	name = strings.ToLower(host)
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, ']') {
		name, port = name[:i], name[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if port != "" && (err != nil || strconv.FormatUint(n, 10) != port) {
			return "", "", fmt.Errorf("has a port that is no number: %q", port)
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-._"
	inner, literal := name, false
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		inner, literal = name[1:len(name)-1], true
	}
	switch {
	case inner == "":
		return "", "", errors.New("names no host")
	case literal && strings.Trim(inner, "0123456789abcdef:.") != "":
		return "", "", errors.New("is no IPv6 address in brackets")
	case !literal && strings.Trim(inner, letters) != "":
		return "", "", errors.New("holds other bytes than a-z 0-9 - . _: write other letters in Punycode")
	}
	return name, port, nil
}

func ownPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// authorities are the addresses by which a node is known: the spellings that the
// Host header may have, in lower case, each with the normal form that is signed.
type authorities map[string]string

// newAuthorities reads origins, e.g. "https://court.example". The scheme is the
// one that clients use: behind a proxy that ends TLS only the origin knows that
// port 443 goes without saying.
func newAuthorities(origins []string) (authorities, error) {
	a := authorities{}
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil {
			return nil, fmt.Errorf("reading an origin: %w", err)
		}
		plain := u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
		if (u.Scheme != "http" && u.Scheme != "https") || !plain {
			return nil, fmt.Errorf("an origin looks like https://court.example or http://127.0.0.1:8100, without a path, not %q", origin)
		}
		name, port, err := splitHost(u.Host)
		if err != nil {
			return nil, fmt.Errorf("the host of the origin %q %w", origin, err)
		}
		normal, spellings := name+":"+port, []string{name + ":" + port}
		if own := ownPort(u.Scheme); port == "" || port == own {
			normal, spellings = name, []string{name, name + ":" + own}
		}
		for _, s := range spellings {
			if other, ok := a[s]; ok && other != normal {
				return nil, fmt.Errorf("the origin %q and another both claim the host %q with different ports", origin, s)
			}
			a[s] = normal
		}
	}
	if len(a) == 0 {
		return nil, errors.New("no origin: name at least one address by which clients reach this node")
	}
	return a, nil
}

// CheckOrigins says what is wrong with a list of origins, as [NewVerifier] would.
func CheckOrigins(origins []string) error {
	_, err := newAuthorities(origins)
	return err
}

// of is the authority that a Host header means, if it is one of this node's.
func (a authorities) of(host string) (string, error) {
	if len(host) <= maxHost {
		if normal, ok := a[strings.ToLower(host)]; ok {
			return normal, nil
		}
	}
	return "", refuse(Authority, "Host", "is no address of this node")
}
