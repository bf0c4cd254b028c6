import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Approves small refunds, and says what came of each decision. */
public class DecideRefunds {
    static final ObjectMapper JSON = new ObjectMapper();
    static final String PREFIX = System.getenv().getOrDefault("AGENTSPAN_PREFIX", "agentspan");
    static final String BROKERS = System.getenv().getOrDefault("BOOTSTRAP_SERVERS", "localhost:9092");

    record Version(long seq, long attempts) {
        boolean above(Version other) {
            return other == null || seq > other.seq || seq == other.seq && attempts > other.attempts;
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", BROKERS);
        Map<String, Version> seen = new HashMap<>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
                var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(PREFIX + ".approvals").stream()
                .map(each -> new TopicPartition(each.topic(), each.partition()))
                .toList();
            consumer.assign(partitions);  // no group: after a restart you see what waits, again
            consumer.seekToBeginning(partitions);
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    if (record.value() == null) {  // the request ended long ago, and is forgotten
                        seen.remove(record.key());
                        continue;
                    }
                    JsonNode request = JSON.readTree(record.value());
                    Version version = new Version(
                        request.path("seq").asLong(), request.path("attempts_total").asLong());
                    if (version.above(seen.get(record.key()))) {
                        seen.put(record.key(), version);
                        look(request, producer);
                    }
                }
            }
        }
    }

    static void look(JsonNode request, KafkaProducer<String, String> producer) throws Exception {
        for (JsonNode attempt : request.path("attempts")) {
            if (attempt.path("by").asText().equals("service:risk-java")) {
                String outcome = attempt.path("accepted").asBoolean() ? "accepted" : attempt.path("code").asText();
                System.out.println(request.path("approval_id").asText() + " " + outcome);
            }
        }
        boolean small = request.path("tool").asText().equals("refund")
            && request.path("args").path("usd").asDouble() < 50;
        if (request.path("state").asText().equals("pending") && small) {
            String id = request.path("approval_id").asText();
            String decision = JSON.createObjectNode()
                .put("decision_id", id + "/approve")  // sent again, it is the same decision
                .put("approval_id", id)
                .put("decision", "approve")
                .put("args_hash", request.path("args_hash").asText())  // of the arguments that were looked at
                .put("by", "risk-java")
                .put("reason", "below the limit")
                .toString();
            producer.send(new ProducerRecord<>(PREFIX + ".decisions", id, decision)).get();
        }
    }
}
