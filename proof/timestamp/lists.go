package timestamp

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidReasonCode     = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidIssuingPoint   = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// Reasons of RFC 5280 §5.3.1 that leave tokens valid that were made before the revocation
// (RFC 3161 §4). An entry without a reason is none of them: the key may be stolen.
var harmless = []int{0, 3, 4, 5} // unspecified, affiliationChanged, superseded, cessationOfOperation

// known is what the lists say of the signer's certificate.
type known struct {
	state       Revocation
	from, until time.Time
}

// checkLists reads the lists of a token. Each must be signed by the issuer of a certificate of the chain.
func checkLists(lists [][]byte, chain []*smx509.Certificate, at time.Time) (known, error) {
	best := known{state: NotChecked}
	for _, raw := range lists {
		list, err := parseList(raw)
		if err != nil {
			return known{}, fmt.Errorf("%w: %w", ErrList, err)
		}
		subject, err := listSubject(list, chain)
		if err != nil {
			return known{}, fmt.Errorf("%w: %w", ErrList, err)
		}
		one, err := readList(list, chain[subject], at)
		if err != nil {
			return known{}, err
		}
		if subject == 0 && (best.from.IsZero() || best.state == NotChecked || one.state == RevokedLater) {
			best = one
		}
	}
	return best, nil
}

func parseList(raw []byte) (*smx509.RevocationList, error) {
	if len(raw) > MaxListBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are taken", len(raw), MaxListBytes)
	}
	list, err := smx509.ParseRevocationList(raw)
	if err != nil {
		return nil, err
	}
	if len(list.RevokedCertificateEntries) > maxEntries {
		return nil, fmt.Errorf("more than %d entries", maxEntries)
	}
	if list.ThisUpdate.IsZero() || list.NextUpdate.Before(list.ThisUpdate) {
		return nil, fmt.Errorf("it does not say until when it is good")
	}
	return list, nil
}

// listSubject returns which certificate of the chain the list speaks of.
func listSubject(list *smx509.RevocationList, chain []*smx509.Certificate) (int, error) {
	for i, issuer := range chain[1:] {
		if !bytes.Equal(list.RawIssuer, issuer.RawSubject) {
			continue
		}
		if err := checkIssued(issuer, list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature); err != nil {
			return 0, err
		}
		if err := list.CheckSignatureFrom(issuer); err != nil {
			return 0, err
		}
		return i, checkScope(list, chain[i])
	}
	return 0, fmt.Errorf("of %q, which issued no certificate of the chain", list.Issuer.String())
}

// checkScope refuses lists that may be silent on the certificate: deltas, lists of other things, of
// other reasons, by others, and one of several parts that is not the certificate's.
func checkScope(list *smx509.RevocationList, cert *smx509.Certificate) error {
	for _, e := range list.Extensions {
		if e.Id.Equal(oidIssuingPoint) {
			if err := checkPoint(e.Value, cert); err != nil {
				return err
			}
		} else if e.Critical {
			return fmt.Errorf("critical extension %v is not known", e.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical && !e.Id.Equal(oidReasonCode) && !e.Id.Equal(oidInvalidityDate) {
				return fmt.Errorf("critical extension %v of an entry is not known", e.Id)
			}
		}
	}
	return nil
}

// checkPoint reads IssuingDistributionPoint (RFC 5280 §5.2.5).
func checkPoint(value cryptobyte.String, cert *smx509.Certificate) error {
	bad := fmt.Errorf("its scope is not the certificate's, or not understood")
	var seq cryptobyte.String
	if !value.ReadASN1(&seq, der.SEQUENCE) || !value.Empty() {
		return bad
	}
	if seq.PeekASN1Tag(tag0) {
		var point, full cryptobyte.String
		if !seq.ReadASN1(&point, tag0) || !point.ReadASN1(&full, tag0) || !point.Empty() {
			return bad
		}
		match := false
		for !full.Empty() {
			var name cryptobyte.String
			var tag der.Tag
			if !full.ReadAnyASN1(&name, &tag) {
				return bad
			}
			match = match || tag == der.Tag(6).ContextSpecific() && slices.Contains(cert.CRLDistributionPoints, string(name))
		}
		if !match {
			return bad
		}
	}
	// onlyContainsUserCerts and onlyContainsCACerts, each FALSE unless it stands there.
	for _, only := range []struct {
		tag  der.Tag
		fits bool
	}{{tag1Plain, !cert.IsCA}, {der.Tag(2).ContextSpecific(), cert.IsCA}} {
		if seq.PeekASN1Tag(only.tag) {
			var value cryptobyte.String
			if !seq.ReadASN1(&value, only.tag) || !bytes.Equal(value, []byte{0xff}) || !only.fits {
				return bad
			}
		}
	}
	if !seq.Empty() {
		return bad
	}
	return nil
}

// readList says what the list says of the certificate at the given time.
func readList(list *smx509.RevocationList, cert *smx509.Certificate, at time.Time) (known, error) {
	out := known{state: NotChecked, from: list.ThisUpdate.UTC(), until: list.NextUpdate.UTC()}
	// A list of later knows more, as long as it still bears certificates of that age.
	if !list.NextUpdate.Before(at) && !list.ThisUpdate.After(cert.NotAfter) {
		out.state = NotRevoked
	}
	for i := range list.RevokedCertificateEntries {
		entry := &list.RevokedCertificateEntries[i]
		if entry.SerialNumber.Cmp(cert.SerialNumber) != 0 {
			continue
		}
		if err := checkEntry(entry, cert, at); err != nil {
			return known{}, err
		}
		out.state = RevokedLater
	}
	return out, nil
}

// checkEntry decides whether a revoked certificate's token still stands.
func checkEntry(entry *smx509.RevocationListEntry, cert *smx509.Certificate, at time.Time) error {
	revoked := fmt.Errorf("%w: %s, since %s", ErrRevoked, cert.Subject, entry.RevocationTime.UTC().Format(time.RFC3339))
	if !entry.RevocationTime.After(at) {
		return revoked
	}
	stated := false
	for _, e := range entry.Extensions {
		switch {
		case e.Id.Equal(oidReasonCode):
			stated = true
		case e.Id.Equal(oidInvalidityDate):
			value := cryptobyte.String(e.Value)
			var since time.Time
			if !value.ReadASN1GeneralizedTime(&since) || !value.Empty() || !since.After(at) {
				return revoked
			}
		}
	}
	if !stated {
		return fmt.Errorf("%w, after the token's time, but without a reason", revoked)
	}
	if !slices.Contains(harmless, entry.ReasonCode) {
		return fmt.Errorf("%w, after the token's time, but for reason %d: its key is not to be trusted at any time", revoked, entry.ReasonCode)
	}
	return nil
}

// AddLists returns the token with certificate revocation lists (DER) put into its unsigned field crls,
// beside those that are there. Nothing is verified here.
func AddLists(token []byte, lists [][]byte) ([]byte, error) {
	sd, err := parseSignedData(token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	all := sd.lists
	for _, raw := range lists {
		if _, err := parseList(raw); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrList, err)
		}
		if !slices.ContainsFunc(all, func(l []byte) bool { return bytes.Equal(l, raw) }) {
			all = append(all, raw)
		}
	}
	if len(all) > maxLists {
		return nil, fmt.Errorf("%w: more than %d", ErrList, maxLists)
	}
	slices.SortFunc(all, bytes.Compare) // a SET OF
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(sd.oid)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(sd.head)
				if sd.present {
					b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddBytes(sd.certificates) })
				}
				if len(all) > 0 {
					b.AddASN1(tag1, func(b *cryptobyte.Builder) {
						for _, l := range all {
							b.AddBytes(l)
						}
					})
				}
				b.AddBytes(sd.tail)
			})
		})
	})
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if len(out) > MaxTokenBytes {
		return nil, fmt.Errorf("%w: with it the token has %d bytes, at most %d are taken", ErrList, len(out), MaxTokenBytes)
	}
	return out, nil
}

// DistributionPoints verifies the token and returns, for each certificate of its chain below the
// root, the signer's first, where its issuer offers lists: HTTP addresses, any of which will do.
func DistributionPoints(token, statement []byte, a *Authority) ([][]string, error) {
	_, chain, err := verify(token, statement, a)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	var out [][]string
	for _, cert := range chain[:len(chain)-1] {
		var urls []string
		for _, u := range cert.CRLDistributionPoints {
			lower := strings.ToLower(u)
			if len(u) <= maxURL && len(urls) < maxURLs && (strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")) {
				urls = append(urls, u)
			}
		}
		out = append(out, urls)
	}
	return out, nil
}
