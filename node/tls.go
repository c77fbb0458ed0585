package node

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"qifeng/api"
	"qifeng/api/client"
)

// serverTLS is the API's TLS by the configuration, nil for plain HTTP.
func serverTLS(h home, c *APIConfig, log *slog.Logger) (*tls.Config, error) {
	if !c.tls() {
		return nil, nil
	}
	cfg, err := api.TLSFiles{Cert: h.path(c.TLSCert), Key: h.path(c.TLSKey)}.Config(log)
	if err != nil {
		return nil, fmt.Errorf("[api] tls_cert, tls_key: %w", err)
	}
	return cfg, nil
}

// caFile reads the certificates of --ca, none without it.
func (a *app) caFile() ([]byte, error) {
	if a.ca == "" {
		return nil, nil
	}
	b, err := readSmall(a.ca, maxSmallFile)
	if err != nil {
		return nil, usagef("--ca: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(b) {
		return nil, usagef("--ca: %s holds no PEM certificate", a.ca)
	}
	return b, nil
}

// ownNode is the URL of the home's own node, and what its certificate is held
// against: the file in the home, which is nearer than any authority. The name
// comes from there too, since this machine calls the node by an address that no
// certificate need name.
func ownNode(h home, c *APIConfig, o *client.Options) (url string, err error) {
	addr := reachable(c.Listen)
	if !c.tls() {
		return "http://" + addr, nil
	}
	text, err := readSmall(h.path(c.TLSCert), maxSmallFile)
	if err != nil {
		return "", usagef("[api] tls_cert: %w", err)
	}
	if o.ServerName, err = hostName(text); err != nil {
		return "", usagef("[api] tls_cert: %s: %w", h.path(c.TLSCert), err)
	}
	o.CA = slices.Concat(o.CA, []byte("\n"), text)
	return "https://" + addr, nil
}

// hostName is a host that the first certificate of a PEM file is for.
func hostName(text []byte) (string, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("no PEM certificate in it")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "", err
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "node", 1), nil // any name under a wildcard
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String(), nil
	}
	return "", errors.New("the certificate names no host (subjectAltName)")
}
