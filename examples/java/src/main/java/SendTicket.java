import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends a ticket. Sent again it is the same one, and nothing happens. */
public class SendTicket {
    public static void main(String[] arguments) throws Exception {
        String prefix = System.getenv().getOrDefault("AGENTSPAN_PREFIX", "agentspan");
        String brokers = System.getenv().getOrDefault("BOOTSTRAP_SERVERS", "localhost:9092");
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "enable.idempotence", true);
        String ticket = """
            {"id": "T-3", "source": "crm", "agent": "support", "text": "My invoice is wrong"}""";
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>(prefix + ".tickets", ticket)).get();  // returns when it is stored
        }
    }
}
