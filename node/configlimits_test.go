package node

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestLimitsAreInTheDocs: every setting stands in the operator's table with its default.
func TestLimitsAreInTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(defaultLimits())
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("toml")
		if name == "exempt" {
			continue // a list, in the text
		}
		found := false
		for line := range bytes.Lines(doc) {
			found = found || strings.Contains(string(line), fmt.Sprintf("| `%s` |", name)) && strings.Contains(string(line), fmt.Sprintf("| %d", v.Field(i).Int()))
		}
		if !found {
			t.Errorf("no row for %s with the default %v", name, v.Field(i))
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	for _, tc := range []struct {
		line string
		want string // "" where it is right
	}{
		{"address_requests = 0\nexempt = ['10.0.0.5/32', 'fd00::/64']", ""},
		{"connections = 3", "connections: 3 is outside"},
		{"connections = 100", "address_connections: more than connections"},
		{"key_share = 101", "key_share: 101 is outside"},
		{"body_mib = 1", "body_mib: 1 is outside"},
		{"exempt = ['10.0.0.5']", "exempt[0]"},
		{"exempt = ['10.0.0.5/8']", "exempt[0]"},
		{"exempt = ['fd00::1/128']", "exempt[0]"},
		{"rate = 1", "unknown field limits.rate"},
	} {
		c, err := ParseConfig([]byte("[member]\nid = 'vendor-a'\n[limits]\n" + tc.line + "\n"))
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.line, err)
		case tc.want == "" && (c.Limits.api().AddressRequests != -1 || len(c.Limits.api().Exempt) != 2):
			t.Errorf("%s: %+v", tc.line, c.Limits.api())
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", tc.line, err, tc.want)
		}
	}
}
