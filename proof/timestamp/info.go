package timestamp

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// tstInfo is RFC 3161 §2.4.2, what the authority signs.
type tstInfo struct {
	policy   asn1.ObjectIdentifier
	hash     *hashing
	imprint  []byte
	serial   *big.Int
	time     time.Time
	accuracy time.Duration
	nonce    *big.Int          // nil where absent
	tsa      cryptobyte.String // a GeneralName; empty where absent
}

func parseInfo(content []byte) (*tstInfo, error) {
	in := cryptobyte.String(content)
	var seq, imprint cryptobyte.String
	var version int64
	if !in.ReadASN1(&seq, der.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&version) {
		return nil, errors.New("malformed TSTInfo")
	}
	if version != 1 {
		return nil, fmt.Errorf("TSTInfo of version %d, want 1", version)
	}
	info := &tstInfo{serial: new(big.Int)}
	if !seq.ReadASN1ObjectIdentifier(&info.policy) || !seq.ReadASN1(&imprint, der.SEQUENCE) {
		return nil, errors.New("malformed TSTInfo")
	}
	var err error
	if info.hash, err = readHashing(&imprint); err != nil {
		return nil, fmt.Errorf("imprint: %w", err)
	}
	var ok bool
	if info.imprint, ok = readOctets(&imprint); !ok || !imprint.Empty() {
		return nil, errors.New("malformed imprint")
	}
	var serial, stamp cryptobyte.String
	if !seq.ReadASN1Element(&serial, der.INTEGER) || len(serial) > 2+maxSerial || !serial.ReadASN1Integer(info.serial) {
		return nil, errors.New("malformed serial number of the token")
	}
	if !seq.ReadASN1(&stamp, der.GeneralizedTime) {
		return nil, errors.New("malformed time of the token")
	}
	if info.time, err = parseTime(string(stamp)); err != nil {
		return nil, err
	}
	return info, info.parseOptional(seq)
}

// parseOptional reads what follows genTime.
func (t *tstInfo) parseOptional(seq cryptobyte.String) error {
	var err error
	if seq.PeekASN1Tag(der.SEQUENCE) {
		if t.accuracy, err = readAccuracy(&seq); err != nil {
			return err
		}
	}
	if seq.PeekASN1Tag(der.BOOLEAN) { // ordering, which nothing here uses
		var ordering bool
		if !seq.ReadASN1Boolean(&ordering) {
			return errors.New("malformed ordering")
		}
	}
	if seq.PeekASN1Tag(der.INTEGER) {
		var nonce cryptobyte.String
		t.nonce = new(big.Int)
		if !seq.ReadASN1Element(&nonce, der.INTEGER) || len(nonce) > 2+maxNonce || !nonce.ReadASN1Integer(t.nonce) {
			return errors.New("malformed nonce")
		}
	}
	if seq.PeekASN1Tag(tag0) {
		var name cryptobyte.String
		var tag der.Tag
		if !seq.ReadASN1(&name, tag0) || !name.ReadAnyASN1Element(&t.tsa, &tag) || !name.Empty() {
			return errors.New("malformed name of the authority")
		}
	}
	if seq.PeekASN1Tag(tag1) {
		if err := checkExtensions(&seq); err != nil {
			return err
		}
	}
	if !seq.Empty() {
		return errors.New("malformed TSTInfo: unknown fields")
	}
	return nil
}

// parseTime reads a GeneralizedTime as RFC 3161 §2.4.2 has it: UTC, seconds always, a fraction
// without trailing zeros. Fractions below the nanosecond are cut off.
func parseTime(s string) (time.Time, error) {
	bad := fmt.Errorf("malformed time of the token %.40q", s)
	whole, ok := strings.CutSuffix(s, "Z")
	if !ok || len(s) > 40 {
		return time.Time{}, bad
	}
	whole, fraction, dotted := strings.Cut(whole, ".")
	if len(whole) != 14 || strings.Trim(whole, "0123456789") != "" ||
		dotted && (fraction == "" || strings.Trim(fraction, "0123456789") != "" || fraction[len(fraction)-1] == '0') {
		return time.Time{}, bad
	}
	t, err := time.Parse("20060102150405", whole)
	if err != nil {
		return time.Time{}, bad
	}
	nanos := 0
	for i := range 9 {
		nanos *= 10
		if i < len(fraction) {
			nanos += int(fraction[i] - '0')
		}
	}
	return t.Add(time.Duration(nanos)), nil
}

func readAccuracy(in *cryptobyte.String) (time.Duration, error) {
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, der.SEQUENCE) {
		return 0, errors.New("malformed accuracy")
	}
	var total time.Duration
	for _, part := range []struct {
		tag  der.Tag
		unit time.Duration
		min  int64
		max  int64
	}{
		{der.INTEGER, time.Second, 0, int64(MaxAccuracy / time.Second)},
		{tag0Plain, time.Millisecond, 1, 999},
		{tag1Plain, time.Microsecond, 1, 999},
	} {
		if !seq.PeekASN1Tag(part.tag) {
			continue
		}
		var v int64
		if !seq.ReadASN1Int64WithTag(&v, part.tag) || v < part.min || v > part.max {
			return 0, fmt.Errorf("accuracy malformed, or above %v", MaxAccuracy)
		}
		total += time.Duration(v) * part.unit
	}
	if !seq.Empty() {
		return 0, errors.New("malformed accuracy")
	}
	return total, nil
}

// checkExtensions refuses critical extensions: none is known here.
func checkExtensions(in *cryptobyte.String) error {
	var list cryptobyte.String
	if !in.ReadASN1(&list, tag1) || list.Empty() {
		return errors.New("malformed extensions")
	}
	for n := 0; !list.Empty(); n++ {
		var one, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		critical := false
		if n == maxExtensions || !list.ReadASN1(&one, der.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&oid) ||
			one.PeekASN1Tag(der.BOOLEAN) && !one.ReadASN1Boolean(&critical) ||
			!one.ReadASN1(&value, der.OCTET_STRING) || !one.Empty() {
			return errors.New("malformed extensions")
		}
		if critical {
			return fmt.Errorf("critical extension %v of the token is not known", oid)
		}
	}
	return nil
}

// covers compares the imprint.
func (t *tstInfo) covers(statement []byte) error {
	sum, err := t.hash.sum(statement)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, t.imprint) {
		return ErrImprint
	}
	return nil
}

func (t *tstInfo) nonceText() string {
	if t.nonce == nil {
		return ""
	}
	return t.nonce.String()
}
