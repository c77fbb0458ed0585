package api

import (
	"net/http"
	"testing"
	"time"
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
		if got := preferredWait(http.Header{"Prefer": tc.lines}); got != tc.want {
			t.Errorf("Prefer %q: %s, want %s", tc.lines, got, tc.want)
		}
	}
}
