package tsa

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/anchor"
)

// digest is an algorithm that an authority can be asked with.
type digest struct {
	oid asn1.ObjectIdentifier
	sum func([]byte) []byte
}

// marshalRequest is TimeStampReq (RFC 3161 §2.4.1), with the certificates asked for.
func marshalRequest(oid asn1.ObjectIdentifier, imprint []byte, nonce *big.Int) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oid)
				b.AddASN1NULL()
			})
			b.AddASN1OctetString(imprint)
		})
		b.AddASN1BigInt(nonce)
		b.AddASN1Boolean(true)
	})
	return b.Bytes()
}

// Status is an authority's answer without a token. It wraps [anchor.ErrRefused] where no repetition
// will help.
type Status struct {
	Code    int    // PKIStatus
	Failure int    // bit of PKIFailureInfo, -1 where none is stated
	Said    string // what the authority wrote beside it
	refused bool
}

func (s *Status) Error() string {
	text := fmt.Sprintf("the authority grants no token (%s)", codes[s.Code])
	if s.Failure >= 0 {
		f, known := failures[s.Failure]
		if !known {
			f.text = fmt.Sprintf("failure %d", s.Failure)
		}
		text += ": " + f.text
	}
	if s.Said != "" {
		text += fmt.Sprintf("; it says %q", s.Said)
	}
	return text
}

func (s *Status) Unwrap() error {
	if s.refused {
		return anchor.ErrRefused
	}
	return nil
}

var codes = map[int]string{
	2: "rejection", 3: "waiting", 4: "revocation warning", 5: "revocation notification",
}

// failures are PKIFailureInfo of RFC 3161 §2.4.2; refused are those that our request, or the
// authority's register of customers, has to be changed for.
var failures = map[int]struct {
	text    string
	refused bool
}{
	0:  {"badAlg: it does not take this digest algorithm (see hash: sha256, or sm3 for an SM2 authority)", true},
	2:  {"badRequest: it does not permit or support this request", true},
	5:  {"badDataFormat: it cannot read the request", true},
	14: {"timeNotAvailable: its time source is not available", false},
	15: {"unacceptedPolicy: it does not support the policy", true},
	16: {"unacceptedExtension: it does not support an extension", true},
	17: {"addInfoNotAvailable: what was asked for besides is not available", true},
	25: {"systemFailure: it cannot answer now", false},
}

var errAnswer = errors.New("malformed answer: not a TimeStampResp in DER")

// parseAnswer reads TimeStampResp (RFC 3161 §2.4.2) and returns the token. An answer without one is a [Status].
func parseAnswer(raw []byte) ([]byte, error) {
	in := cryptobyte.String(raw)
	var seq, status cryptobyte.String
	var code int64
	if !in.ReadASN1(&seq, der.SEQUENCE) || !in.Empty() || !seq.ReadASN1(&status, der.SEQUENCE) ||
		!status.ReadASN1Integer(&code) || code < 0 || code > 5 {
		return nil, errAnswer
	}
	s := &Status{Code: int(code), Failure: -1}
	if err := s.parse(status); err != nil {
		return nil, err
	}
	if code > 1 {
		s.refused = failures[s.Failure].refused || code >= 4
		return nil, s
	}
	var token cryptobyte.String
	if !seq.ReadASN1Element(&token, der.SEQUENCE) || !seq.Empty() {
		return nil, errors.New("malformed answer: granted, but without a token")
	}
	return token, nil
}

// parse reads what follows the code.
func (s *Status) parse(status cryptobyte.String) error {
	if status.PeekASN1Tag(der.SEQUENCE) {
		var texts cryptobyte.String
		if !status.ReadASN1(&texts, der.SEQUENCE) {
			return errAnswer
		}
		var said []string
		for !texts.Empty() {
			var text cryptobyte.String
			if len(said) == maxTexts || !texts.ReadASN1(&text, der.UTF8String) {
				return errAnswer
			}
			said = append(said, string(text))
		}
		s.Said = clean([]byte(strings.Join(said, "; ")))
	}
	if status.PeekASN1Tag(der.BIT_STRING) {
		var bits asn1.BitString
		if !status.ReadASN1BitString(&bits) {
			return errAnswer
		}
		for i := range bits.BitLength {
			if bits.At(i) != 0 {
				s.Failure = i
				break
			}
		}
	}
	if !status.Empty() {
		return errAnswer
	}
	return nil
}

// clean makes foreign text fit for an error and a log.
func clean(text []byte) string {
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text[:min(len(text), maxSaid)]), ""))
	return strings.Join(strings.Fields(s), " ")
}
