package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-sdk-go/pkg/common/errors/status"

	"qifeng/anchor/fabric/sdkwire"
)

// configError is what only an operator can mend.
type configError struct{ error }

func configErrorf(format string, args ...any) error { return configError{fmt.Errorf(format, args...)} }

// unknownError is an error after a transaction was handed over.
type unknownError struct{ error }

func wireError(err error) *sdkwire.Error {
	e := &sdkwire.Error{Kind: sdkwire.Failed, Text: err.Error()}
	switch {
	case errors.As(err, new(configError)):
		e.Kind = sdkwire.Config
	case errors.As(err, new(unknownError)):
		e.Kind = sdkwire.Unknown
	default:
		s, known := status.FromError(err)
		if e.Messages = chaincodeMessages(err); len(e.Messages) > 0 {
			e.Kind = sdkwire.Rejected
		} else if known && s.Group == status.ClientStatus && s.Code == status.Timeout.ToInt32() {
			e.Kind = sdkwire.Timeout
		} else if known && apart(s) {
			e.Kind = sdkwire.Apart
		}
	}
	return e
}

// apart reports whether peers answered that do not agree, or whether those that
// discovery knows at this moment do not suffice.
func apart(s *status.Status) bool {
	return s.Group == status.EndorserClientStatus && s.Code == status.EndorsementMismatch.ToInt32() ||
		s.Group == status.DiscoveryServerStatus && s.Code == status.QueryEndorsers.ToInt32()
}

// chaincodeMessages returns what the chaincode said on each peer that refused.
func chaincodeMessages(err error) []string {
	s, ok := status.FromError(err)
	if !ok || s == nil {
		return nil
	}
	var out []string
	for _, d := range s.Details {
		switch d := d.(type) {
		case error:
			out = append(out, chaincodeMessages(d)...)
		case []interface{}: // the errors of several peers
			for _, inner := range d {
				if inner, ok := inner.(error); ok {
					out = append(out, chaincodeMessages(inner)...)
				}
			}
		}
	}
	if len(out) > 0 {
		return out
	}
	const refused = 400 // what a chaincode answers from here on is a refusal
	if (s.Group == status.ChaincodeStatus || s.Group == status.EndorserServerStatus) && s.Code >= refused {
		return []string{strings.TrimSpace(s.Message)}
	}
	return nil
}
