package fabric

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// CheckChannel refuses a channel that no receipt could verify under, and one that
// asks for less than the ordering service itself needs.
func CheckChannel(c *Channel) error {
	if err := checkChannel(c); err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return nil
}

func checkChannel(c *Channel) error {
	if c == nil {
		return errors.New("no channel is pinned")
	}
	if !fabricName(c.Channel) || !fabricName(c.Chaincode) {
		return errors.New("the pinned channel has no channel id or chaincode, or an impossible one")
	}
	if _, err := newMSPs(c.Organisations); err != nil {
		return fmt.Errorf("pinned channel %q: %w", c.Channel, err)
	}
	if c.Endorsements < 1 || c.Endorsements > len(c.Organisations) {
		return fmt.Errorf("pinned channel %q: %d endorsements of %d organisations", c.Channel, c.Endorsements, len(c.Organisations))
	}
	if err := c.Orderers.check(); err != nil {
		return fmt.Errorf("pinned channel %q: orderers: %w", c.Channel, err)
	}
	return nil
}

// withoutRevoked is the channel as if nothing had been revoked.
func (c *Channel) withoutRevoked() *Channel {
	without := func(orgs []Organisation) []Organisation {
		orgs = slices.Clone(orgs)
		for i := range orgs {
			orgs[i].Revoked = nil
		}
		return orgs
	}
	out := *c
	out.Organisations, out.Orderers.Organisations = without(c.Organisations), without(c.Orderers.Organisations)
	return &out
}

func (o *Orderers) check() error {
	orgs, err := newMSPs(o.Organisations)
	if err != nil {
		return err
	}
	n := len(o.Consenters)
	if n == 0 {
		if o.Signatures != 1 {
			return fmt.Errorf("%d signatures without consenters: a raft block has 1", o.Signatures)
		}
		return nil
	}
	if n > maxConsenters || o.Signatures < Quorum(n) || o.Signatures > n {
		return fmt.Errorf("%d signatures of %d consenters, at least %d are needed", o.Signatures, n, Quorum(n))
	}
	var ids []uint64
	var certs []*x509.Certificate
	for i := range o.Consenters {
		c := &o.Consenters[i]
		cert, err := parseCertificate(c.Certificate)
		if err != nil {
			return fmt.Errorf("consenter %d: %w", c.ID, err)
		}
		if orgs[c.MSP] == nil {
			return fmt.Errorf("consenter %d: %q is not among the organisations", c.ID, c.MSP)
		}
		// As of its own middle: whether it has run out is asked for each receipt.
		if err := orgs[c.MSP].check(cert, roleOrderer, cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore)/2).Truncate(time.Second)); err != nil {
			return fmt.Errorf("consenter %d: %w", c.ID, err)
		}
		if c.ID > math.MaxUint32 || slices.Contains(ids, c.ID) || slices.ContainsFunc(certs, func(other *x509.Certificate) bool { return sameKey(other, cert) }) {
			return fmt.Errorf("consenter %d: its id or key stands twice, or the id is too large", c.ID)
		}
		ids, certs = append(ids, c.ID), append(certs, cert)
	}
	return nil
}

// Quorum is how many of n BFT orderers must sign a block: any two such sets share
// an honest one while at most f = ⌊(n-1)/3⌋ are not (Fabric: ⌈(n+f+1)/2⌉).
func Quorum(n int) int {
	f := (n - 1) / 3
	return (n + f + 2) / 2
}

// fabricName says whether a string can name a channel or a chaincode: Fabric's
// channels are [a-z][a-z0-9.-]*, its chaincodes [a-zA-Z0-9]+([-_][a-zA-Z0-9]+)*.
func fabricName(s string) bool {
	for _, r := range s {
		if r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
