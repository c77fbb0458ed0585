package node

import (
	"fmt"
	"io"
	"log/slog"
)

// level is the slog level of the section [log].
func (c *LogConfig) level() (slog.Level, error) {
	switch c.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("level: %q is not one of debug, info, warn, error", c.Level)
}

// newLogger writes JSON lines to w.
func newLogger(w io.Writer, c *Config) (*slog.Logger, error) {
	level, err := c.Log.level()
	if err != nil {
		return nil, err
	}
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(h), nil
}
