package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

func TestPreferredWait(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  time.Duration
	}{
		{nil, 0},
		{[]string{"wait=5"}, 5 * time.Second},
		{[]string{"WAIT = 5"}, 5 * time.Second},
		{[]string{`wait="5"`}, 5 * time.Second},
		{[]string{"respond-async, wait=5; x=y"}, 5 * time.Second},
		{[]string{"respond-async", "wait=5"}, 5 * time.Second},
		{[]string{"wait=5", "wait=9"}, 5 * time.Second},
		{[]string{"wait=30"}, maxWait},
		{[]string{"wait=31"}, maxWait},
		{[]string{"wait=99999999999999999999"}, 0},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=1.5"}, 0},
		{[]string{"wait"}, 0},
		{[]string{"waiting=5"}, 0},
		{[]string{",,=;"}, 0},
	} {
		if got := preferred(http.Header{"Prefer": tc.lines}).wait; got != tc.want {
			t.Errorf("Prefer %q: %s, want %s", tc.lines, got, tc.want)
		}
	}
}

func TestPreferredReturn(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  preferences
		told  string
	}{
		{nil, preferences{}, ""},
		{[]string{"return=minimal"}, preferences{minimal: true}, "return=minimal"},
		{[]string{`Return = "minimal"; x=y`}, preferences{minimal: true}, "return=minimal"},
		{[]string{"return=representation"}, preferences{}, ""},
		{[]string{"return"}, preferences{}, ""},
		{[]string{"return=MINIMAL"}, preferences{}, ""},
		{[]string{"minimal"}, preferences{}, ""},
		{[]string{"return=representation, return=minimal"}, preferences{}, ""},
		{[]string{"return=minimal, return=representation"}, preferences{minimal: true}, "return=minimal"},
		{[]string{"return=minimal, wait=5"}, preferences{true, 5 * time.Second}, "return=minimal, wait=5"},
		{[]string{"wait=5", "respond-async, return=minimal"}, preferences{true, 5 * time.Second}, "return=minimal, wait=5"},
		{[]string{"wait=x, wait=5, return=minimal"}, preferences{minimal: true}, "return=minimal"},
		{[]string{"wait=99"}, preferences{wait: maxWait}, "wait=30"},
	} {
		got := preferred(http.Header{"Prefer": tc.lines})
		if got != tc.want {
			t.Errorf("Prefer %q: %+v, want %+v", tc.lines, got, tc.want)
		}
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		applied(c, got)
		if told := c.Writer.Header().Get("Preference-Applied"); told != tc.told {
			t.Errorf("Prefer %q: applied %q, want %q", tc.lines, told, tc.told)
		}
	}
}
