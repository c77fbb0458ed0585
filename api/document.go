package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

// The description of the interface is written by hand in openapi.json; a string
// "@name" in it stands for the file of that name in examples/, which the tests
// make and verify. Tests hold every bound, code, route and answer against it.
//
//go:embed openapi.json docs.html examples
var documentFiles embed.FS

// static is an answer that stays the same as long as the process runs.
type static struct {
	contentType string
	etag        string
	csp         string // Content-Security-Policy, "" for none
	body        []byte
}

// documents are the description and its page, the same for all servers.
var documents = sync.OnceValues(func() (d struct{ openAPI, page *static }, err error) {
	text, err := compose()
	if err != nil {
		return d, fmt.Errorf("openapi.json: %w", err)
	}
	d.openAPI = newStatic("application/json", text)
	page, err := renderDocs(text)
	if err != nil {
		return d, fmt.Errorf("docs.html: %w", err)
	}
	d.page = newStatic("text/html; charset=utf-8", page)
	d.page.csp, err = stylePolicy(page)
	return d, err
})

func newStatic(contentType string, body []byte) *static {
	sum := sha256.Sum256(body)
	return &static{contentType: contentType, etag: `"` + hex.EncodeToString(sum[:8]) + `"`, body: body}
}

var exampleName = regexp.MustCompile(`"@([a-z-]+\.(?:json|txt))"`)

// compose puts the example files into openapi.json: JSON as it is, text as a string.
func compose() ([]byte, error) {
	text, err := documentFiles.ReadFile("openapi.json")
	if err != nil {
		return nil, err
	}
	out := exampleName.ReplaceAllFunc(text, func(m []byte) []byte {
		name := string(m[2 : len(m)-1])
		file, e := documentFiles.ReadFile(path.Join("examples", name))
		if e == nil && path.Ext(name) == ".txt" {
			file, e = json.Marshal(string(file))
		}
		if e != nil && err == nil {
			err = e
		}
		return bytes.TrimSpace(file)
	})
	if err == nil && !json.Valid(out) {
		err = fmt.Errorf("it is no JSON")
	}
	return out, err
}

// stylePolicy allows the page its one style sheet, named by its hash, and
// nothing else: no script, no other host, no frame, no form.
func stylePolicy(page []byte) (string, error) {
	_, rest, ok := bytes.Cut(page, []byte("<style>"))
	style, _, end := bytes.Cut(rest, []byte("</style>"))
	if !ok || !end {
		return "", fmt.Errorf("docs.html: no style sheet")
	}
	sum := sha256.Sum256(style)
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nil
}

// give answers with p, or with 304 where the caller has it.
func (p *static) give(c *gin.Context) error {
	h := c.Writer.Header()
	h.Set("ETag", p.etag)
	h.Set("Cache-Control", "no-cache") // keep it, and ask whether it is still so
	if noneMatch(c.Request.Header.Values("If-None-Match"), p.etag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return nil
	}
	if p.csp != "" {
		h.Set("Content-Security-Policy", p.csp)
		h.Set("Referrer-Policy", "no-referrer")
	}
	return raw(c, http.StatusOK, p.contentType, p.body)
}

// noneMatch reports whether an If-None-Match names etag (RFC 9110 §13.1.2: the
// comparison is weak). What it does not understand matches nothing.
func noneMatch(lines []string, etag string) bool {
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
