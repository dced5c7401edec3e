// Handles the events of cfw-job-poller as a member of a consumer group.
//
//	go run . GROUP CONSUMER
//
// An event is acknowledged after handle returned nil. Where it failed, or the process died, the entry stays pending; after
// claimIdle some consumer of the group takes it over. After maxDeliveries it is moved to the dead letters.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	claimIdle     = time.Minute
	maxDeliveries = 5
)

// Data is what an event tells; schemas/event-data.schema.json has all of it.
type Data struct {
	ProjectID *string         `json:"projectId"`
	JobID     *string         `json:"jobId"`
	Status    string          `json:"status"`
	Reason    *string         `json:"reason"`
	Message   *string         `json:"message"`
	Metadata  json.RawMessage `json:"metadata"`
}

// handle is the place for your own work. It may see an event twice: source and id together tell it apart.
func handle(event map[string]interface{}, data Data) error {
	reason := "-"
	if data.Reason != nil {
		reason = *data.Reason
	}
	fmt.Println(event["type"], event["subject"], reason, string(data.Metadata))
	return nil
}

type subscriber struct {
	redis                   redis.UniversalClient
	stream, group, consumer string
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: subscriber GROUP CONSUMER")
	}
	options, err := redis.ParseURL(environment("REDIS_URL", "redis://127.0.0.1:6379"))
	if err != nil {
		log.Fatal(err)
	}
	s := subscriber{redis.NewClient(options), environment("EVENT_STREAM", "{cfw}:events"), os.Args[1], os.Args[2]}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// "0" begins with the oldest event that the stream holds, "$" with the next one.
	err = s.redis.XGroupCreateMkStream(ctx, s.stream, s.group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		log.Fatal(err)
	}
	for ctx.Err() == nil {
		if err := s.turn(ctx); err != nil && ctx.Err() == nil {
			log.Print("waiting for Redis: ", err)
			time.Sleep(time.Second)
		}
	}
}

// turn takes over what lies idle, then reads what is new for a second at most.
func (s subscriber) turn(ctx context.Context) error {
	for start := "0-0"; ; {
		entries, next, err := s.redis.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: s.stream, Group: s.group, Consumer: s.consumer, MinIdle: claimIdle, Start: start, Count: 10,
		}).Result()
		if err != nil {
			return err
		}
		for _, entry := range entries {
			pending, err := s.redis.XPendingExt(ctx, &redis.XPendingExtArgs{
				Stream: s.stream, Group: s.group, Start: entry.ID, End: entry.ID, Count: 1,
			}).Result()
			if err != nil {
				return err
			}
			if len(pending) == 1 {
				if err := s.deliver(ctx, entry, pending[0].RetryCount); err != nil {
					return err
				}
			}
		}
		if start = next; start == "0-0" {
			break
		}
	}
	batches, err := s.redis.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: s.group, Consumer: s.consumer, Streams: []string{s.stream, ">"}, Count: 10, Block: time.Second,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, batch := range batches {
		for _, entry := range batch.Messages {
			if err := s.deliver(ctx, entry, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s subscriber) deliver(ctx context.Context, entry redis.XMessage, deliveries int64) error {
	var data Data
	text, _ := entry.Values["data"].(string)
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return s.bury(ctx, entry, deliveries, err)
	}
	if err := handle(entry.Values, data); err != nil {
		log.Print(entry.ID, ": ", err)
		if deliveries >= maxDeliveries {
			return s.bury(ctx, entry, deliveries, err)
		}
		return nil
	}
	return s.redis.XAck(ctx, s.stream, s.group, entry.ID).Err()
}

// bury moves an entry to the dead letters, where `cfw-job-poller dead` finds it.
func (s subscriber) bury(ctx context.Context, entry redis.XMessage, deliveries int64, reason error) error {
	fields := []string{}
	for name, value := range entry.Values {
		fields = append(fields, name, fmt.Sprint(value))
	}
	original, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	// Both or neither: MULTI … EXEC.
	_, err = s.redis.TxPipelined(ctx, func(both redis.Pipeliner) error {
		both.XAdd(ctx, &redis.XAddArgs{Stream: s.stream + ":dead", Values: []string{
			"group", s.group,
			"consumer", s.consumer,
			"entryId", entry.ID,
			"deliveries", fmt.Sprint(deliveries),
			"error", reason.Error(),
			"time", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			"entry", string(original),
		}})
		both.XAck(ctx, s.stream, s.group, entry.ID)
		return nil
	})
	return err
}

func environment(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
