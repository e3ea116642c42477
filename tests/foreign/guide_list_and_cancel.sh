# List all batch jobs
curl -s https://api.kluster.ai/v1/batches \
    -H "Authorization: Bearer $API_KEY"

# Cancel a batch job
curl -s https://api.kluster.ai/v1/batches/$BATCH_ID/cancel \
    -H "Authorization: Bearer $API_KEY" \
    -H "Content-Type: application/json" \
    -X POST
