package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"qifeng/bench"
)

// benchPlainCmd loads any HTTP server with unsigned bodies: the bare echo
// server, or another log for comparison.
func (a *app) benchPlainCmd() *cobra.Command {
	var c bench.PlainConfig
	var file, name, commit string
	cmd := &cobra.Command{
		Use:   "plain URL",
		Short: "向任意 HTTP 服务提交未签名的随机内容，作比较之用 · Post unsigned random bodies to any HTTP server, for comparison",
		Long: `与 qifeng bench 用同一个客户端，闭环。用于裸回显服务（bench echo）与其他日志系统（如 Tessera 的 /add）。
Uses the same client as qifeng bench, in the closed loop: for the bare echo server (bench echo) and
for other logs, as Tessera's /add.`,
		Example: example("qifeng bench plain http://127.0.0.1:2024/add --connections 256"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			c.URL, c.Head = args[0], bench.NewHead(name, commit)
			r, err := bench.Plain(ctx, c)
			if err != nil {
				return err
			}
			a.say("%.0f 请求/s；p50 %.2f ms，p99 %.2f ms；失败 %d 种", "%.0f requests/s; p50 %.2f ms, p99 %.2f ms; %d kinds of failure",
				r.RequestsPerS, r.Latency.P50, r.Latency.P99, len(r.Failed))
			return a.writeResult(file, r)
		}),
	}
	f := cmd.Flags()
	f.IntVar(&c.Bytes, "bytes", 900, "每个内容的字节数 · bytes of a body")
	f.IntVar(&c.Connections, "connections", 256, "保持的连接数 · kept connections")
	f.DurationVar(&c.Duration, "duration", 10*time.Second, "测量窗口 · measured window")
	f.DurationVar(&c.Warmup, "warmup", 2*time.Second, "预热 · warm-up before the window")
	f.IntSliceVar(&c.Processes, "pid", nil, "服务的进程号 · process id of the server")
	f.StringVar(&file, "json", "", "原始结果写入此文件 · write the raw result to this file")
	f.StringVar(&name, "name", "plain", "结果的名称 · name of the result")
	commitFlag(cmd, &commit)
	return cmd
}

func (a *app) benchEchoCmd() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:     "echo",
		Short:   "裸 net/http 回显服务，测速的参照 · The bare net/http echo server that rates are held against",
		Example: example("qifeng bench echo --listen 127.0.0.1:9000"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			return bench.Echo(ctx, listen, func(url string) { fmt.Fprintln(a.out, url) })
		}),
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "监听地址 · address to listen on")
	return cmd
}

func (a *app) benchLimitsCmd() *cobra.Command {
	var dir, file, commit string
	var each time.Duration
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "本机的物理上限：只算哈希、只验签、只落盘 · What this machine can do at most: hash only, verify only, fsync only",
		Long: `在全部核上分别测：一条提交的两种叶哈希、一次 SM2 验签、一次 SM2 签名、发生器生成一条记录，
以及在给定目录所在磁盘上追加 64 KiB 并 fsync。
On all cores, one after the other: both leaf hashes of a submission, an SM2 verification, an SM2
signature, making a record in the generator; and appending 64 KiB with an fsync on the disk of a folder.`,
		Example: example("qifeng bench limits --dir devnet --json limits.json"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			p, err := bench.Measure(ctx, dir, each, bench.NewHead("limits", commit))
			if err != nil {
				return err
			}
			a.say("哈希 %.0f 条/s，SM2 验签 %.0f/s，签名 %.0f/s，发生器 %.0f 条/s，fsync %.0f/s",
				"hash %.0f records/s, SM2 verify %.0f/s, sign %.0f/s, generator %.0f records/s, fsync %.0f/s",
				p.Hash, p.Verify, p.Sign, p.Make, p.Sync)
			return a.writeResult(file, p)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "此目录所在的磁盘 · folder on the disk to be measured")
	f.DurationVar(&each, "each", 2*time.Second, "每项的时间 · time of each figure")
	f.StringVar(&file, "json", "", "原始结果写入此文件 · write the raw result to this file")
	commitFlag(cmd, &commit)
	return cmd
}

func (a *app) benchTableCmd() *cobra.Command {
	var markdown, partial bool
	cmd := &cobra.Command{
		Use:   "table DIR",
		Short: "把原始结果汇成表格，末行为一个 JSON 对象 · Make a table of raw results; its last line is one JSON object",
		Long: `读取 scripts/bench.sh 写入目录的原始结果。缺少必需的一项、或有未兑现的承诺时退出码 1。
Reads the raw results that scripts/bench.sh has written to a folder. Exit code 1 when one that is
needed is missing, or a promise was not kept.`,
		Example: example("qifeng bench table bench-results/20261121T080000", "qifeng bench table DIR --markdown"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			t, err := bench.ReadTable(args[0])
			if err != nil {
				return err
			}
			t.Print(a.out, string(a.lang), markdown)
			figures, ferr := t.Figures(!partial)
			if !markdown {
				b, err := json.Marshal(figures)
				if err != nil {
					return err
				}
				fmt.Fprintln(a.out, string(b))
			}
			return ferr
		}),
	}
	cmd.Flags().BoolVar(&partial, "partial", false, "不要求各项齐全 · accept a folder that lacks some loads")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "只输出 Markdown 表格 · print the tables in Markdown only")
	return cmd
}
