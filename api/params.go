package api

import (
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof/checkpoint"
)

// params reads a query strictly: each name is known and stands once. A typo in
// a name would otherwise answer a question that nobody asked.
func params(rawQuery string, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, faultf(badParameter, "", "the query is not well formed")
	}
	out := make(map[string]string, len(values))
	for name, vs := range values {
		if !contains(known, name) {
			return nil, &fault{kind: badParameter, field: shown(name), detail: "is not a parameter of this path",
				mend: "known are: " + strings.Join(known, ", ")}
		}
		if len(vs) != 1 {
			return nil, faultf(badParameter, name, "stands %d times", len(vs))
		}
		out[name] = vs[0]
	}
	return out, nil
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// shown is what an answer repeats of a parameter's name that is not known: the
// name where it could be one, and nothing that a person could be known by.
func shown(name string) string {
	if len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_-") != "" {
		return "…"
	}
	return name
}

// idParam reads the id in the path.
func idParam(c *gin.Context) (evidence.ID, error) {
	id, err := evidence.ParseID(c.Param("id"))
	if err != nil {
		return "", faultf(badParameter, "id", "an id is 64 lower-case hex digits")
	}
	return id, nil
}

// untilParam reads the state that a wait is for.
func untilParam(c *gin.Context) (wire.State, error) {
	q, err := params(c.Request.URL.RawQuery, "until")
	if err != nil {
		return "", err
	}
	text, ok := q["until"]
	if !ok {
		return wire.Sealed, nil
	}
	switch state := wire.State(text); state {
	case wire.Accepted, wire.Committed, wire.Sealed, wire.Anchored:
		return state, nil
	}
	return "", faultf(badParameter, "until", "is accepted, committed, sealed or anchored")
}

// lookup is what findRecords is asked.
type lookup struct {
	alg     string // "sm3" or "sha256", with hash; or dossier
	hash    [32]byte
	dossier evidence.Dossier
	cursor  string
	limit   int
}

func lookupParams(rawQuery string) (l lookup, err error) {
	q, err := params(rawQuery, "digest", "dossier", "cursor", "limit")
	if err != nil {
		return l, err
	}
	digest, byDigest := q["digest"]
	dossier, byDossier := q["dossier"]
	if byDigest == byDossier {
		return l, faultf(badParameter, "digest", "exactly one of digest and dossier is needed")
	}
	if byDossier {
		if l.dossier, err = evidence.ParseDossier(dossier); err != nil {
			return l, faultf(badParameter, "dossier", "a dossier is 32 lower-case hex digits")
		}
	} else if l.alg, l.hash, err = parseDigest(digest); err != nil {
		return l, err
	}
	if l.cursor = q["cursor"]; !isCursor(l.cursor) {
		return l, faultf(badParameter, "cursor", "is not one that this node gave out")
	}
	l.limit = defaultPage
	if text, ok := q["limit"]; ok {
		if l.limit, err = strconv.Atoi(text); err != nil || l.limit < 1 || l.limit > maxPage || strconv.Itoa(l.limit) != text {
			return l, faultf(badParameter, "limit", "is a number from 1 to %d", maxPage)
		}
	}
	return l, nil
}

// parseDigest reads "sm3:HEX" or "sha256:HEX".
func parseDigest(s string) (alg string, hash [32]byte, err error) {
	alg, text, _ := strings.Cut(s, ":")
	if alg != "sm3" && alg != "sha256" {
		return "", hash, faultf(badParameter, "digest", "begins with sm3: or sha256:")
	}
	if len(text) != 64 || text != strings.ToLower(text) {
		return "", hash, faultf(badParameter, "digest", "has 64 lower-case hex digits after the colon")
	}
	if _, err := hex.Decode(hash[:], []byte(text)); err != nil {
		return "", hash, faultf(badParameter, "digest", "has 64 lower-case hex digits after the colon")
	}
	return alg, hash, nil
}

// isCursor checks the form of a cursor; what it means only the archive knows.
func isCursor(s string) bool {
	if len(s) > maxCursor {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '=', r == '.':
		default:
			return false
		}
	}
	return true
}

// memberParam reads ?member=, which may be absent.
func memberParam(rawQuery string) (string, error) {
	q, err := params(rawQuery, "member")
	if err != nil {
		return "", err
	}
	member, ok := q["member"]
	if ok && checkpoint.CheckMemberID(member) != nil {
		return "", faultf(badParameter, "member", "is not a member id")
	}
	return member, nil
}

// sizeParam reads ?size=; ok says whether it stands there.
func sizeParam(rawQuery string) (size uint64, ok bool, err error) {
	q, err := params(rawQuery, "size")
	if err != nil {
		return 0, false, err
	}
	text, ok := q["size"]
	if !ok {
		return 0, false, nil
	}
	size, err = strconv.ParseUint(text, 10, 53)
	if err != nil || size == 0 || strconv.FormatUint(size, 10) != text {
		return 0, false, faultf(badParameter, "size", "is a ledger size, a number from 1")
	}
	return size, true, nil
}

// bodyFault says why a body could not be read.
func bodyFault(err error) error {
	var big *http.MaxBytesError
	var own *fault
	if errors.As(err, &big) || errors.As(err, &own) {
		return err
	}
	return &fault{kind: badRequest, detail: "the body could not be read to its end", cause: err}
}
