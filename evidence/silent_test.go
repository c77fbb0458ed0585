package evidence

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// planted are values that a careless caller may put where they do not belong.
var planted = []string{"张三丰", "11010519491231002X", "13800138000", "zhangsan@example.com", "zhangsan", "劳动合同-张三丰.pdf"}

var (
	jsonKey     = regexp.MustCompile(`[{,]("[^"]*"):`)
	jsonString  = regexp.MustCompile(`[:\[,]("[^"]*")[,\]}]`)
	jsonInteger = regexp.MustCompile(`[:\[,]([0-9]+)[,\]}]`)
)

// TestErrorsRepeatNoValue puts personal values into every place of what comes
// over the network: whatever is wrong with it, the error does not repeat them,
// since errors go into answers and logs. A key of letters alone is repeated: it
// could be a misspelt field.
func TestErrorsRepeatNoValue(t *testing.T) {
	req, _ := newTestRequest(t, len(Kinds))
	tests := map[string]struct {
		raw   []byte
		parse func([]byte) error
	}{"request": {req.Raw, func(b []byte) error { _, err := ParseRequest(b); return err }}}
	samples := signedSamples(t)
	delete(samples, TypeCard) // a file of the founders, which the command line reads
	for typ, s := range samples {
		tests[string(typ)] = struct {
			raw   []byte
			parse func([]byte) error
		}{s.raw, s.parse}
	}
	for name, tt := range tests {
		refused := 0
		try := func(at []int, text, value string) {
			body := string(tt.raw[:at[2]]) + text + string(tt.raw[at[3]:])
			err := tt.parse([]byte(body))
			if err == nil {
				return
			}
			refused++
			if said := fmt.Sprintf("%v %+v", err, err); strings.Contains(said, value) {
				t.Errorf("%s: %q at byte %d is repeated in: %v", name, value, at[2], err)
			}
		}
		for _, value := range planted {
			for _, at := range jsonString.FindAllSubmatchIndex(tt.raw, -1) {
				try(at, `"`+value+`"`, value)
			}
			for _, at := range jsonKey.FindAllSubmatchIndex(tt.raw, -1) {
				if value != "zhangsan" {
					try(at, `"`+value+`"`, value)
				}
			}
		}
		for _, value := range []string{"13800138000", "110105194912310021", "1101051949123100"} {
			for _, at := range jsonInteger.FindAllSubmatchIndex(tt.raw, -1) {
				try(at, value, value)
			}
			for _, at := range jsonString.FindAllSubmatchIndex(tt.raw, -1) {
				try(at, value, value)
			}
		}
		if refused < 50 {
			t.Errorf("%s: only %d refusals", name, refused)
		}
	}
}
